"""Receivers: what accepts connections and hands their frames to the pipeline.

A receiver knows the pipeline by the protocols in :mod:`exporter.receivers.feed_interfaces` only, and reports on itself through those in
:mod:`exporter.receivers.observer_interfaces`.
"""
