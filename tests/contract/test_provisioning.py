"""Grafana's provisioning files fit the boards, the exemplars and each other."""
