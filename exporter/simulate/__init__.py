"""A simulated platform: the other side of the wire, for demonstrations, tests and load. It shares no code with the exporter."""
