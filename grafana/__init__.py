"""The Grafana dashboards as code: ``python -m grafana DIRECTORY`` writes their JSON.

``boards`` has one module for each board. ``queries`` writes PromQL from the exporter's catalogue, so a board can only name metrics
and labels that exist.

``panels``, ``numbers`` and ``tables`` make panels; ``style`` and ``units`` say how they look. ``variables`` has filters and links,
``annotations`` the marks on the time axis. ``board`` does the layout and the export.
"""
