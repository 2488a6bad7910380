"""What the boards call a slow turn, and how many may be: the objective of ``deploy/prometheus``, which the panels measure against."""

SLO_BOUND = 2.0
"""Seconds within which a caller should hear the agent. A bucket bound of ``agentstack_user_perceived_latency_seconds``, so the
share of turns within it is exact."""

OBJECTIVE = 0.95
"""Share of caller turns that should be answered within :data:`SLO_BOUND`."""

CRITICAL = 3.5
"""Seconds from which a wait is shown red; a bucket bound too."""

RECENT = "15m"
"""The window of numbers that say how it is now: long enough to hold turns of a quiet fleet."""

BURNS_FAST = 14.4
"""How many times as fast as planned the budget is spent when that pages within the hour."""

QUEUE_FILLS = 16 * 1024 * 1024
"""Bytes waiting for the collector from which an alert is raised, if they wait for ten minutes."""
