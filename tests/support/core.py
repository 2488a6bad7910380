"""The core with a clock that tests move: connections send events, and metrics are read off the snapshot."""

from collections.abc import Mapping
from typing import Any

import msgspec

from exporter.metrics.label_limits import LabelLimits
from exporter.metrics.snapshot import HistogramPoint, Series
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline, Tracing
from exporter.sessions.registry import SessionTimeouts
from exporter.sessions.session import Session

BEGINNING = 1_777_885_200.0


class Core(NoDiagnostics):
    """A pipeline at a moment of the test's choice. An internal error fails the test; what else is reported is kept."""

    def __init__(
        self, limits: LabelLimits | None = None, waits: SessionTimeouts | None = None, *, tracing: Tracing | None = None
    ) -> None:
        self.now = BEGINNING
        self.complaints: list[str] = []
        self.full_stores: list[tuple[int, dict[str, int]]] = []
        self.pipeline = Pipeline(limits or LabelLimits(), waits or SessionTimeouts(), self, self.now, tracing=tracing)

    def metrics_missing(self, agent: str) -> None:
        self.complaints.append(agent)

    def store_full(self, limit: int, largest: Mapping[str, int]) -> None:
        self.full_stores.append((limit, dict(largest)))

    def internal_error(self, error: Exception) -> None:
        raise error

    def connect(self, *, relayed: bool = False) -> "Connection":
        """A connection that has sent nothing yet."""
        return Connection(self, relayed=relayed)

    def call(self, session: str = "as-1", agent: str = "support", *, relayed: bool = False, **fields: Any) -> "Connection":
        """A connection whose session.started was received."""
        connection = self.connect(relayed=relayed)
        connection.send("session.started", agent_session_id=session, agent_id=agent, **fields)
        return connection

    def let_pass(self, seconds: float) -> None:
        """Time goes on, and what is due is done."""
        self.now += seconds
        self.pipeline.tick(self.now)

    def series(self, name: str, **labels: str) -> list[Series]:
        """The series of the metric scraped as ``name`` that carry ``labels``, perhaps among others."""
        (family,) = [family for family in self.pipeline.snapshot(self.now).families if family.spec.name == name]
        wanted = labels.items()
        return [series for series in family.series if wanted <= dict(zip(family.spec.labels, series.labels, strict=True)).items()]

    def value(self, name: str, **labels: str) -> float:
        """What the series add up to: values, or the sums of histograms."""
        found = [series.value for series in self.series(name, **labels)]
        return round(sum(value.sum if isinstance(value, HistogramPoint) else value for value in found), 6)

    def observations(self, name: str, **labels: str) -> int:
        """How many values the histogram's series have observed."""
        found = [series.value for series in self.series(name, **labels)]
        return sum(sum(value.counts) for value in found if isinstance(value, HistogramPoint))


class Connection:
    """One WebSocket, as the core sees it."""

    def __init__(self, core: Core, *, relayed: bool = False) -> None:
        self._core = core
        self.feed: CallFeed = CallFeed(core.pipeline, relayed=relayed)

    @property
    def session(self) -> Session:
        """The session the connection belongs to."""
        assert self.feed.session is not None
        return self.feed.session

    def send(self, event_type: str, **fields: Any) -> bool:
        """Send an event named by ``type``."""
        return self.feed.consume(msgspec.json.encode({"type": event_type, **fields}), self._core.now)

    def stream(self, event: str, **fields: Any) -> bool:
        """Send a message of audio streaming, named by ``event``."""
        return self.feed.consume(msgspec.json.encode({"event": event, **fields}), self._core.now)

    def command(self, name: str, **fields: Any) -> None:
        """The app sends a command."""
        self.feed.command(msgspec.json.encode({"type": name, **fields}), self._core.now)

    def turn(self, number: float | None = 1, **fields: Any) -> bool:
        """Send a turn.metrics."""
        return self.send("turn.metrics", turn_number=number, **fields)

    def completed(self, number: float | None = 1, **fields: Any) -> bool:
        """Send a turn.completed."""
        return self.send("turn.completed", turn_number=number, **fields)

    def close(self) -> None:
        """The connection is gone."""
        self.feed.close(self._core.now)
