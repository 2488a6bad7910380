"""Prometheus and OpenTelemetry exporter for Plivo AgentStack voice agents."""

__version__ = "0.1.0"
