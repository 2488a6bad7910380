"""Exporters of other packages: whatever ``OTEL_TRACES_EXPORTER`` and ``OTEL_METRICS_EXPORTER`` name besides ``otlp``.

They are found as OpenTelemetry's SDK finds them, and are fed the SDK's own types. These are made from the same requests that go to an
OTLP receiver, so that queue, retries and counts are those of :mod:`exporter.exporters.otlp.sender` too. The SDK is imported only if one
is named.
"""
