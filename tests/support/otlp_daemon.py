"""The exporter in the test's event loop, sending to a receiver of ours; and what that has by the end."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.config import Settings
from exporter.config.otel import OtelSettings, read_otel
from exporter.daemon.app import Daemon
from exporter.exporters.otlp.sender import BackoffConfig
from exporter.exporters.otlp.target import Protocol
from tests.support.daemon import Endpoints, settings
from tests.support.otlp_receiver import Receiver, Site
from tests.support.traced import values

QUICK = BackoffConfig(time_scale=0.02)
"""The default back-off with 20 ms for each second."""
UNTIL_THE_END: dict[str, Any] = {"turn_wait": 600.0, "session_resume": 3600.0, "session_linger": 600.0}
"""Settings with which nothing is over before the end: what is exported follows from the order of the events alone."""


def environment(address: str, protocol: Protocol, **more: str) -> dict[str, str]:
    """``OTEL_*`` variables that send to an address; spans at once, metrics only at the stop unless told otherwise."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        "OTEL_METRIC_EXPORT_INTERVAL": "600000",
        **more,
    }


def address_of(site: Site) -> str:
    """Where a receiver is reached."""
    return f"127.0.0.1:{site.listener.port}"


def otel(variables: Mapping[str, str]) -> OtelSettings:
    """What the variables say; they have to be right."""
    found, warnings = read_otel(variables)
    assert warnings == ()
    return found


@dataclass(frozen=True)
class Exporting:
    """A running daemon: its parts, and where it is reached."""

    daemon: Daemon
    endpoints: Endpoints

    def queued(self) -> int:
        """Spans that wait to be delivered."""
        return self.items("otlp_queue_items")

    def items(self, name: str, *labels: str) -> int:
        """A number of the exporter's own metrics about spans."""
        snapshot = self.daemon.snapshot()
        family = next(each for each in snapshot.families if each.spec.name.endswith(f"exporter_{name}"))
        found = {series.labels: series.value for series in family.series}
        value = found.get(("traces", *labels), 0.0)
        assert isinstance(value, float | int)
        return int(value)


@asynccontextmanager
async def exporting(
    variables: Mapping[str, str], *, backoff: BackoffConfig | None = QUICK, watched: list[bytes] | None = None, **changes: Any
) -> AsyncIterator[Exporting]:
    """Run the daemon until the block ends; ``watched`` gets every span that was made, ``changes`` are fields of the settings."""
    chosen: Settings = settings(**{"drain_timeout": 0.0, **changes})
    daemon = Daemon(chosen, otel(variables), on_spans=None if watched is None else watched.extend, backoff=backoff)
    await daemon.start()
    try:
        yield Exporting(daemon, Endpoints(str(daemon.listen), str(daemon.telemetry_listen)))
    finally:
        await daemon.stop()


def spans_of(receiver: Receiver) -> list[Span]:
    """All spans taken, in order."""
    return list(_spans(receiver))


def _spans(receiver: Receiver) -> Iterator[Span]:
    for request in receiver.requests:
        if request.signal == "traces":
            for resource_spans in request.message.resource_spans:
                for scope_spans in resource_spans.scope_spans:
                    yield from scope_spans.spans


def ids(spans: Iterable[Span]) -> list[tuple[str, str]]:
    """Their names in the world: trace and span."""
    return [(span.trace_id.hex(), span.span_id.hex()) for span in spans]


def by_session(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """The spans of each trace, in order."""
    found: dict[str, list[Span]] = {}
    for span in spans:
        found.setdefault(span.trace_id.hex(), []).append(span)
    return found


def kind_of(span: Span) -> str:
    """A span's name without agent, model or tool."""
    return span.name.split()[0]


def attributes_of(span: Span) -> dict[str, Any]:
    """A span's attributes; fails if a key comes twice."""
    return values(span.attributes)
