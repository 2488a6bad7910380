"""The last 15 minutes of all calls together, read from the store: how its counters and histograms grew, in steps of five seconds."""

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from exporter.catalogue import derived, operator_metrics
from exporter.catalogue.buckets import USER_PERCEIVED
from exporter.catalogue.declarations import MetricSpec
from exporter.catalogue.exponential import explicit_counts
from exporter.catalogue.operator_metrics import TURN_COMPONENTS
from exporter.exporters.live.messages import Heat, Objective, Share, Wait
from exporter.metrics.quantile import quantile
from exporter.metrics.store import Store
from exporter.sessions.session import MACHINE

STEP: Final = 5.0
"""Seconds of a step."""
COLUMN: Final = 15.0
"""Seconds of a column of the heat map."""
MINUTES: Final = (5, 15)
HEAT_BOUNDS: Final = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0)
"""The rows of the heat map; each is a bound of the histogram."""
_STEPS: Final = int(MINUTES[-1] * 60 / STEP)
_COLUMNS: Final = int(MINUTES[-1] * 60 / COLUMN)
_SLICE: Final = 250
"""Rows of the store that are added up at a time."""
_PLACES: Final = len(USER_PERCEIVED) + 1
_PERCEIVED: Final = "agentstack_user_perceived_latency_seconds"
_ERRORS: Final = "agentstack_errors_total"
_TURNS, _ANSWERED, _UNANSWERED, _SLOW, _FAILURES = range(5)
_NUMBERS: Final = 5

Sums = list[float]
"""The counts of the histogram's buckets, then the numbers above, then the seconds of each component."""


class LastMinutes:
    """Samples the store. ``windows``, ``shares`` and ``heat`` are as of the last sample."""

    def __init__(self, store: Store, objective: Objective) -> None:
        self._store = store
        self._objective = objective
        self._steps: deque[tuple[float, Sums]] = deque(maxlen=_STEPS)
        self._last: Sums | None = None
        self._work_out(0.0)

    def sample(self, now: float) -> Iterator[None]:
        """Read the store once, in slices: between two of them other work may be done. To be called every :data:`STEP` seconds."""
        sums = [0.0] * (_PLACES + _NUMBERS + len(TURN_COMPONENTS))
        yield from self._add_histogram(sums)
        for place, spec, wanted in self._counters():
            yield from self._add_counter(sums, place, spec, wanted)
        last, self._last = self._last, sums
        if last is not None:
            self._steps.append((now, [max(0.0, after - before) for before, after in zip(last, sums, strict=True)]))
        self._work_out(now)

    def _work_out(self, now: float) -> None:
        self.windows = [self._window(minutes, now) for minutes in MINUTES]
        """The waits of the last 5 and 15 minutes."""
        self.shares = self._shares(now)
        """How long callers waited for each component in the last 15 minutes."""
        self.heat = self._heat(now)
        """The heat map."""

    def _shares(self, now: float) -> list[Share]:
        found = self._sums(MINUTES[-1], now)[_PLACES + _NUMBERS :]
        return [Share(component=name, seconds=round(value, 3)) for name, value in zip(TURN_COMPONENTS, found, strict=True)]

    def _heat(self, now: float) -> Heat:
        end = now - now % COLUMN + COLUMN
        start = end - _COLUMNS * COLUMN
        columns = [[0] * (len(HEAT_BOUNDS) + 1) for _ in range(_COLUMNS)]
        for at, sums in self._steps:
            place = int((at - STEP / 2 - start) // COLUMN)
            if 0 <= place < _COLUMNS:
                for bucket, count in enumerate(sums[:_PLACES]):
                    columns[place][_HEAT_ROWS[bucket]] += int(count)
        return Heat(start=start, step=COLUMN, bounds=list(HEAT_BOUNDS), columns=columns)

    def _window(self, minutes: int, now: float) -> Wait:
        sums = self._sums(minutes, now)
        counts, numbers = [int(count) for count in sums[:_PLACES]], sums[_PLACES:]
        answered, unanswered = numbers[_ANSWERED], numbers[_UNANSWERED]
        in_time = sum(counts[: USER_PERCEIVED.index(self._objective.seconds) + 1])
        caller_turns = answered + unanswered
        return Wait(
            minutes=minutes,
            count=sum(counts),
            p50=_rounded(quantile(0.5, USER_PERCEIVED, counts)),
            p95=_rounded(quantile(0.95, USER_PERCEIVED, counts)),
            p99=_rounded(quantile(0.99, USER_PERCEIVED, counts)),
            met=round(min(1.0, in_time / caller_turns), 5) if caller_turns else None,
            turns=int(numbers[_TURNS]),
            unanswered=int(unanswered),
            slow=int(numbers[_SLOW]),
            errors=int(numbers[_FAILURES]),
        )

    def _sums(self, minutes: int, now: float) -> Sums:
        wanted = [sums for at, sums in self._steps if now - at < minutes * 60]
        return [sum(values) for values in zip(*wanted, strict=True)] if wanted else [0.0] * (_PLACES + _NUMBERS + len(TURN_COMPONENTS))

    def _counters(self) -> Iterator[tuple[int, MetricSpec, dict[str, str]]]:
        yield _PLACES + _TURNS, derived.TURNS, {}
        yield _PLACES + _ANSWERED, operator_metrics.CALLER_TURNS, {"outcome": "answered"}
        yield _PLACES + _UNANSWERED, operator_metrics.CALLER_TURNS, {"outcome": "unanswered"}
        yield _PLACES + _SLOW, operator_metrics.SLOW_TURNS, {}
        yield _PLACES + _FAILURES, self._store.spec(_ERRORS), {}
        for number, component in enumerate(TURN_COMPONENTS):
            yield _PLACES + _NUMBERS + number, operator_metrics.TURN_COMPONENT, {"component": component}

    def _add_histogram(self, sums: Sums) -> Iterator[None]:
        spec = self._store.spec(_PERCEIVED)
        places = self._store.place(spec)[0].places_of(spec)
        counts = [0] * places.size
        for cells in self._cells(spec, {}):
            for place, values in enumerate(zip(*(cell[: places.size] for cell in cells), strict=True)):
                counts[place] += sum(values)
            yield
        sums[:_PLACES] = map(float, explicit_counts(places, counts))

    def _add_counter(self, sums: Sums, place: int, spec: MetricSpec, wanted: dict[str, str]) -> Iterator[None]:
        divisor = self._divisor(spec)
        for cells in self._cells(spec, wanted):
            sums[place] += sum(cells) / divisor
            yield

    def _cells(self, spec: MetricSpec, wanted: dict[str, str]) -> Iterator[list[Any]]:
        """The metric's cells whose labels are as ``wanted``, without calls that a machine answered, some at a time."""
        layout, index = self._store.place(spec)
        names = layout.label_names
        places = [(names.index(name), value) for name, value in wanted.items()]
        by = names.index("answered_by") if "answered_by" in names and spec is not derived.TURNS else None
        rows = list(layout.rows.items())
        for begin in range(0, len(rows), _SLICE):
            yield [
                row[index]
                for labels, row in rows[begin : begin + _SLICE]
                if (by is None or labels[by] != MACHINE) and all(labels[place] == value for place, value in places)
            ]

    def _divisor(self, spec: MetricSpec) -> float:
        layout, index = self._store.place(spec)
        return layout.divisors[index]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _heat_row(bucket: int) -> int:
    """The row of the heat map that holds a bucket of the histogram."""
    upper = USER_PERCEIVED[bucket] if bucket < len(USER_PERCEIVED) else float("inf")
    return next((row for row, bound in enumerate(HEAT_BOUNDS) if upper <= bound), len(HEAT_BOUNDS))


_HEAT_ROWS: Final = tuple(_heat_row(bucket) for bucket in range(_PLACES))
