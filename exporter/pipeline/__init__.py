"""One event's way through the core."""
