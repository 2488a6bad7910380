"""What was not taken as it came, and when last: read from the exporter's own counters, so that nothing is counted twice."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from exporter.catalogue.declarations import MetricSpec
from exporter.exporters.live.messages import Problem, ProblemKind
from exporter.metrics import self_metrics
from exporter.metrics.store import Store

MOST_PROBLEMS: Final = 50
"""Problems that are shown."""


class _Source(NamedTuple):
    """A counter of problems. ``reason`` and ``field`` are the places of its labels that say so."""

    kind: ProblemKind
    spec: MetricSpec
    reason: int
    field: int | None = None


_SOURCES: Final = (
    _Source("frame_rejected", self_metrics.FRAMES_REJECTED, 0),
    _Source("value_refused", self_metrics.VALUES_REFUSED, 1, 0),
    _Source("unknown_field", self_metrics.UNKNOWN_FIELDS, 0, 1),
    _Source("unknown_event", self_metrics.UNKNOWN_EVENTS, 0),
    _Source("connection_refused", self_metrics.CONNECTIONS_REFUSED, 0),
)


class _Seen(NamedTuple):
    total: float
    first_at: float
    last_at: float


class Problems:
    """Watches the counters. Times are those of :meth:`look`, so a problem is dated within the time between two looks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: dict[tuple[ProblemKind, tuple[str, ...]], _Seen] = {}

    def look(self, now: float) -> None:
        """Note which counters have grown. To be called about once a second."""
        present = set()
        for source in _SOURCES:
            layout, _ = self._store.place(source.spec)
            for labels, row in layout.rows.items():
                count, key = row[0], (source.kind, labels)
                if not count:
                    continue
                present.add(key)
                seen = self._seen.get(key)
                if seen is None or count != seen.total:
                    self._seen[key] = _Seen(count, now if seen is None or count < seen.total else seen.first_at, now)
        for key in self._seen.keys() - present:
            del self._seen[key]

    def latest(self) -> list[Problem]:
        """The problems that occurred last, newest first."""
        found = sorted(self._found(), key=lambda problem: problem.last_at, reverse=True)
        return found[:MOST_PROBLEMS]

    def _found(self) -> Iterator[Problem]:
        for source in _SOURCES:
            for (kind, labels), seen in self._seen.items():
                if kind == source.kind:
                    field = None if source.field is None else labels[source.field]
                    yield Problem(
                        kind=kind,
                        reason=labels[source.reason],
                        field=field,
                        count=int(seen.total),
                        first_at=seen.first_at,
                        last_at=seen.last_at,
                    )
