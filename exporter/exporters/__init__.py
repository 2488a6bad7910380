"""Ways out: what the exporter shows of its snapshot and its spans."""
