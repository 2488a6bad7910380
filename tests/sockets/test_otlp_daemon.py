"""Calls go in through a socket and spans come out at a collector: the spans follow from what was sent."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from exporter.exporters.otlp.sender.observer import DROP_REASONS
from exporter.exporters.otlp.target import Protocol
from exporter.metrics.self_metrics import OTLP_DROPPED
from exporter.protocol.ids import root_span_id, trace_id
from exporter.simulate.truth import read_truth
from tests.support.expected_spans import Sent, SentTurn, sent
from tests.support.otlp_daemon import (
    UNTIL_THE_END,
    address_of,
    attributes_of,
    by_session,
    environment,
    exporting,
    ids,
    kind_of,
    spans_of,
)
from tests.support.otlp_receiver import otlp_receiver
from tests.support.simulation import simulate, subdirectory
from tests.support.waiting import eventually

CALLS = 40
MILLISECOND = 1_000_000
TURN, TOOL, ROOT = "invoke_agent", "execute_tool", "session"


@dataclass
class Outcome:
    """A run: what was sent, and the spans that were delivered."""

    sent: Sent
    spans: list[Span]
    made: int

    def turn(self, turn: SentTurn) -> Span:
        """The one span of a turn."""
        (found,) = [span for span in self.spans if span.span_id.hex() == turn.span_id and span.trace_id.hex() == trace_id(turn.session)]
        return found

    def children(self, parent: Span) -> dict[str, Span]:
        """The child spans of a turn, by kind; without tools, which can occur any number of times."""
        below = [span for span in self.spans if span.parent_span_id == parent.span_id and kind_of(span) != TOOL]
        found = {kind_of(span): span for span in below}
        assert len(found) == len(below)
        return found


@asynccontextmanager
async def played(
    folder: Path, profiles: Iterable[str], protocol: Protocol = "http/protobuf", calls: int = CALLS
) -> AsyncIterator[Outcome]:
    """Run simulated calls and stop the daemon."""
    async with otlp_receiver(protocol) as site:
        made: list[bytes] = []
        async with exporting(environment(address_of(site), protocol), watched=made, **UNTIL_THE_END) as running:
            truth, _ = await simulate(subdirectory(folder, protocol[:4]), running.endpoints, calls=calls, profiles=profiles, seed=11)
        yield Outcome(sent(read_truth(truth)), spans_of(site.receiver), len(made))


@pytest.mark.parametrize(
    ("profiles", "protocol"), [(("mixed",), "grpc"), (("messy",), "http/protobuf"), (("s2s", "streaming", "outbound"), "grpc")], ids=str
)
async def test_the_spans_equal_the_truth(tmp_path: Path, profiles: tuple[str, ...], protocol: Protocol) -> None:
    """Every turn that was sent is one span, with the children, durations and attributes that follow from its fields."""
    async with played(tmp_path, profiles, protocol) as run:
        assert len(run.spans) == run.made
        assert_whole(run)
        for turn in run.sent.turns.values():
            assert_turn(run, turn)
        assert_counts(run)
        for spans in by_session(run.spans).values():
            assert_order(run, spans)


def assert_whole(run: Outcome) -> None:
    """No span is duplicated, every parent exists, and each session has one root."""
    assert max(Counter(ids(run.spans)).values()) == 1
    assert {span.trace_id.hex() for span in run.spans} == {trace_id(session) for session in run.sent.sessions}
    known = set(ids(run.spans))
    roots = [span for span in run.spans if not span.parent_span_id]
    assert {(span.trace_id.hex(), span.span_id.hex()) for span in roots} == {
        (trace_id(session), root_span_id(session)) for session in run.sent.sessions
    }
    assert {kind_of(span) for span in roots} == {ROOT}
    for span in run.spans:
        assert not span.parent_span_id or (span.trace_id.hex(), span.parent_span_id.hex()) in known
        assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano


def assert_turn(run: Outcome, turn: SentTurn) -> None:
    """A turn has its children within it, and they have the measured durations."""
    span = run.turn(turn)
    assert kind_of(span) == TURN
    assert span.parent_span_id.hex() == root_span_id(turn.session)
    children = run.children(span)
    assert turn.children <= children.keys()
    assert children.keys() - turn.children <= run.sent.small.get(turn.session, set())
    for child in children.values():
        assert span.start_time_unix_nano <= child.start_time_unix_nano <= child.end_time_unix_nano <= span.end_time_unix_nano
    for kind, lasted in turn.durations():
        length = children[kind].end_time_unix_nano - children[kind].start_time_unix_nano
        assert abs(length - lasted * MILLISECOND) <= MILLISECOND, (kind, lasted)
    there = {(kind, key) for kind, found in children.items() for key in attributes_of(found)}
    there |= {("turn", key) for key in attributes_of(span)}
    assert turn.attributes <= there
    assert attributes_of(span)["agentstack.turn.number"] == turn.event.turn_number


def assert_counts(run: Outcome) -> None:
    """The number of turns is right, and turns without metrics are marked."""
    turns = [span for span in run.spans if kind_of(span) == TURN]
    without = [span for span in turns if attributes_of(span).get("agentstack.turn.without_metrics")]
    late = [span for span in turns if attributes_of(span).get("agentstack.turn.late")]
    assert {span.span_id.hex() for span in late} == {turn.span_id for turn in run.sent.turns.values() if turn.stood_in}
    assert len(without) == len(run.sent.without_metrics())
    assert len(turns) == len(run.sent.turns) + len(without)


def assert_order(run: Outcome, spans: list[Span]) -> None:
    """The root comes last, except for turns whose metrics came after the end, and covers all spans before it."""
    (place,) = [number for number, span in enumerate(spans) if not span.parent_span_id]
    root, after = spans[place], spans[place + 1 :]
    late = run.sent.trailing | {turn.span_id for turn in run.sent.turns.values() if turn.last}
    assert {span.span_id.hex() for span in after if kind_of(span) == TURN} <= late
    for span in spans[:place]:
        assert root.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= root.end_time_unix_nano
    assert attributes_of(root)["agentstack.session.end_reason"]


async def test_ids_follow_from_the_calls(tmp_path: Path) -> None:
    """The same calls have the same spans with the same ids in every process and over every protocol."""
    runs = []
    protocols: tuple[Protocol, ...] = ("http/protobuf", "grpc")
    for protocol in protocols:
        async with played(tmp_path, ["mixed"], protocol, calls=10) as run:
            runs.append({(*one, span.name) for one, span in zip(ids(run.spans), run.spans, strict=True)})
    assert runs[0] == runs[1] != set()


async def test_exemplars_point_at_delivered_spans(tmp_path: Path) -> None:
    """Every exemplar of a scrape names a turn's span that the collector has."""
    async with otlp_receiver("http/protobuf") as site, exporting(environment(address_of(site), "http/protobuf")) as running:
        await simulate(subdirectory(tmp_path, "platform"), running.endpoints, calls=10, profiles=["mixed", "s2s", "messy"], seed=5)
        page = await running.endpoints.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        families = openmetrics(page.text)  # type: ignore[no-untyped-call]  # it has no types
        shown = {
            (sample.exemplar.labels["trace_id"], sample.exemplar.labels["span_id"])
            for family in families
            for sample in family.samples
            if sample.exemplar
        }
        assert shown
        await eventually(lambda: shown <= {*ids(span for span in spans_of(site.receiver) if kind_of(span) == TURN)})


async def test_loss_counters_start_at_zero() -> None:
    """The series of losses exist at 0 before the first loss, because increase() does not see a series that begins at 1."""
    async with otlp_receiver("http/protobuf") as site, exporting(environment(address_of(site), "http/protobuf")) as running:
        (lost,) = [family for family in running.daemon.snapshot().families if family.spec is OTLP_DROPPED]
        rows = {series.labels: series.value for series in lost.series}
        assert rows == {(signal, reason): 0.0 for signal in ("traces", "metrics") for reason in DROP_REASONS}
