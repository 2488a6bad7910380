"""Events → the store → snapshots: the recorder, the store, label limits, and the exporter's own metrics."""
