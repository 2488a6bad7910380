"""``/live``: what each call is doing right now, as a page, as JSON and as a stream of changes.

Nothing is measured here. A call's frames leave their events in its journal (:mod:`exporter.sessions.journal`); everything else is worked
out from the journal, from what sessions know and from the store, when somebody looks.
"""
