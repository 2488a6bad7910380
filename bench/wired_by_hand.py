"""The usual wiring by hand: Starlette's JSON and ``prometheus_client`` with ``.labels()`` for each field."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from exporter.catalogue.declarations import Const, Feeds, MetricSpec, OfSession
from exporter.catalogue.inspect import EventSpec
from exporter.protocol.decoder import SPECS

Event = dict[str, Any]
Step = tuple[str, Feeds, Any, float]
"""Field (``None`` for the event as a whole), what it feeds, the metric of prometheus_client, divisor."""


class Naive:
    """Measures every field that the exporter measures, with the client library used as in its documentation."""

    def __init__(self) -> None:
        self.processed = 0
        self._registry = CollectorRegistry()
        self._made: dict[str, Any] = {}
        self.steps = {spec.name: [*self._of_event(spec), *self._of_fields(spec)] for spec in SPECS}
        self.app = Starlette(routes=[WebSocketRoute("/ws", self._serve)])

    def _of_event(self, spec: EventSpec) -> list[Step]:
        return [("", feeds, self._metric(feeds.spec), 1.0) for feeds in spec.metrics]

    def _of_fields(self, spec: EventSpec) -> list[Step]:
        return [
            (field.name, feeds, self._metric(feeds.spec), field.divisor if feeds.amount == "value" else 1.0)
            for field in spec.fields
            if len(field.path) == 1
            for feeds in field.feeds
        ]

    def _metric(self, spec: MetricSpec) -> Any:  # noqa: ANN401 - the client's metrics have no common type
        if spec.name not in self._made:
            if spec.kind == "histogram":
                self._made[spec.name] = Histogram(spec.name, spec.help, spec.labels, buckets=spec.bounds, registry=self._registry)
            else:
                kind = Counter if spec.kind == "counter" else Gauge
                self._made[spec.name] = kind(spec.name, spec.help, spec.labels, registry=self._registry)
        return self._made[spec.name]

    async def _serve(self, websocket: WebSocket) -> None:
        await websocket.accept()
        agent = "unknown"
        try:
            while True:
                event = await websocket.receive_json()
                agent = event.get("agent_id", agent)
                self.record(event, agent)
                self.processed += 1
        except WebSocketDisconnect:
            pass

    def record(self, event: Event, agent: str) -> None:
        """Measure an event."""
        for field, feeds, metric, divisor in self.steps.get(event["type"], ()):
            value = event.get(field) if field else 1.0
            if value is None:
                continue
            labels = [label_of(source, event, agent) for _, source in feeds.labels.sources]
            child = metric.labels(*labels) if labels else metric
            if feeds.spec.kind == "histogram":
                child.observe(value / divisor)
            elif feeds.spec.kind == "gauge":
                child.set(value)
            else:
                child.inc(value / divisor if feeds.amount == "value" else 1.0)


def label_of(source: Any, event: Event, agent: str) -> str:  # noqa: ANN401 - label sources have no common type
    if isinstance(source, OfSession):
        return agent if source.what == "agent" else "unknown"
    if isinstance(source, Const):
        return source.value
    return str(event.get(source.field) or "unknown")
