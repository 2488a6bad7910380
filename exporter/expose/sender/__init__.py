"""Sending spans and metrics over OTLP: queues, retries and transports."""
