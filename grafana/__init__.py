"""The Grafana dashboards as code: ``python -m grafana DIRECTORY`` writes their JSON.

``boards`` holds one module a board. ``queries`` writes PromQL from the exporter's own catalogue, so that a board can only name a
metric and a label that exist; ``panels`` draws, ``variables`` filters and links, ``board`` lays out and exports.
"""
