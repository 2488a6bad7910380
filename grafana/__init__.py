"""The Grafana dashboards as code: ``python -m grafana DIRECTORY`` writes their JSON.

``boards`` has one module for each board. ``queries`` writes PromQL from the exporter's catalogue, so a board can only name metrics
and labels that exist. ``panels`` makes panels, ``variables`` filters and links; ``board`` does the layout and the export.
"""
