"""A snapshot whose text is short enough to be written out: one family of each kind, and an empty one."""

from exporter.catalogue.declarations import MetricSpec
from exporter.metrics.snapshot import Exemplar, Family, HistogramPoint, Series, Snapshot

LATENCY = MetricSpec(
    kind="histogram",
    otel_name="agentstack.user_perceived_latency",
    unit="s",
    help="From the caller's last word to the agent's first.",
    labels=("pipeline", "agent"),
    bounds=(0.5, 1.0),
    exemplars=True,
)
TURNS = MetricSpec(kind="counter", otel_name="agentstack.turns", unit="{turn}", help='Turns, "all" of them.', labels=("agent",))
ACTIVE = MetricSpec(kind="gauge", otel_name="agentstack.sessions.active", unit="{session}", help="Sessions open now.")
ERRORS = MetricSpec(kind="counter", otel_name="agentstack.errors", unit="{error}", help="Errors.", labels=("reason",))

EXEMPLAR = Exemplar(0.75, "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1767225600.5)

SMALL = Snapshot(
    1767225601.0,
    (
        Family(LATENCY, (Series(("cascade", 'a"1'), HistogramPoint((3, 2, 0), 3.25, (None, EXEMPLAR, None)), 1767225000.0),)),
        Family(TURNS, (Series(("a\\1",), 1234567.0, 1767225000.0), Series(("50 %d.0\n",), 2.0, 1767225000.0))),
        Family(ACTIVE, (Series((), 2.0, 1767225000.0),)),
        Family(ERRORS, ()),
    ),
)
