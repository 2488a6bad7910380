"""OTLP: snapshots and spans as export requests, and the sender that delivers them."""
