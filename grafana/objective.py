"""The service level objective of ``deploy/prometheus``, which the panels measure against, and the thresholds of its alerts."""

SLO_BOUND = 2.0
"""Seconds within which a caller should hear the agent. It is a bucket bound of ``agentstack_user_perceived_latency_seconds``, so
the share of turns within it is exact."""

OBJECTIVE = 0.95
"""Share of caller turns that should be answered within :data:`SLO_BOUND`."""

CRITICAL = 3.5
"""A wait of at least so many seconds is shown in red; a bucket bound too."""

RECENT = "15m"
"""The window of numbers that show the present: long enough for a quiet fleet to have turns in it."""

BURNS_FAST = 14.4
"""The burn rate that pages: the error budget is spent so many times faster than planned."""

QUEUE_FILLS = 16 * 1024 * 1024
"""An alert is raised if at least so many bytes wait for the collector for ten minutes."""
