"""Events → the store → snapshots: the recorder, its rows, the limits of labels, and the exporter's own metrics."""
