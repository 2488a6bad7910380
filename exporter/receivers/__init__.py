"""The ways in: what turns a peer's connection into frames for the core."""
