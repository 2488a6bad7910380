"""Ways out: what leaves the process, made from the store's snapshot and from spans."""
