"""The ``/metrics`` page that Prometheus scrapes."""
