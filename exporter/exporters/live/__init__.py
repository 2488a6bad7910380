"""``/live``: what each call is doing right now, as a page, as JSON and as a stream of changes.

Nothing is measured here. Turns and rarer events of a call are kept in its :mod:`exporter.sessions.call_journal`. Everything else
is worked out from the journals, from what sessions know and from the store, when somebody looks.
"""
