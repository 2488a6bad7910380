"""A simulated AgentStack platform for demonstrations, tests and load. It shares no code with the exporter."""
