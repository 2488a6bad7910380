"""The settings that say what is sent, and where."""

import signal
from pathlib import Path
from typing import Any

import pytest

from exporter.protocol.ids import root_span_id, trace_id, turn_span_id, turn_trace_id
from tests.support.daemon import call, daemon_process, program, running_daemon, send_all
from tests.support.otlp_daemon import address_of, attributes_of, environment, exporting, ids, kind_of, spans_of
from tests.support.otlp_receiver import Site, otlp_receiver
from tests.support.waiting import eventually

STARTED = {"type": "session.started", "agent_session_id": "as-1", "agent_id": "agent-1"}
ENDED = {"type": "session.ended", "reason": "hangup"}
SLOW = {"type": "turn.metrics", "turn_number": 2, "user_perceived_ms": 2500, "llm_ttft_ms": 900}
INTERRUPTED = {"type": "turn.metrics", "turn_number": 3, "user_perceived_ms": 500, "interrupted": True}
FAILED = {"type": "turn.metrics", "turn_number": 4, "error_source": "llm"}
PLAIN = {"type": "turn.metrics", "turn_number": 1, "user_perceived_ms": 500, "llm_ttft_ms": 300}
NONE = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
TRACE = trace_id("as-1")


async def play(site: Site, frames: list[dict[str, Any]], variables: dict[str, str], **changes: Any) -> list[Any]:
    """One call up to the end of the daemon; the spans that were delivered."""
    chosen = environment(address_of(site), "http/protobuf", **variables)
    async with exporting(chosen, **changes) as running, call(running.endpoints.ws) as socket:
        await send_all(socket, frames)
        await running.endpoints.reaches("agentstack_exporter_frames_received_total", len(frames))
    return spans_of(site.receiver)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, set()),
        ({"slow_turn": 2.0, "keep_slow_turns": True}, {2}),
        ({"keep_interrupted_turns": True}, {3}),
        ({"keep_failed_turns": True}, {4}),
        ({"slow_turn": 2.0, "keep_slow_turns": True, "keep_interrupted_turns": True, "keep_failed_turns": True}, {2, 3, 4}),
    ],
    ids=str,
)
@pytest.mark.parametrize("late", [False, True], ids=["in time", "after the end"])
async def test_turns_that_are_kept(changes: dict[str, Any], kept: set[int], late: bool) -> None:
    """Of traces that are not sampled the chosen turns are sent all the same, each whole and below its root."""
    turns: list[dict[str, Any]] = [PLAIN, SLOW, INTERRUPTED, FAILED]
    frames = [STARTED, ENDED, *turns] if late else [STARTED, *turns, ENDED]
    async with otlp_receiver("http/protobuf") as site:
        found = await play(site, frames, NONE, **changes)
    numbers = {attributes_of(span)["agentstack.turn.number"] for span in found if kind_of(span) == "invoke_agent"}
    assert numbers == kept
    roots = [span for span in found if kind_of(span) == "session"]
    assert len(roots) == bool(kept)
    assert {span.parent_span_id.hex() for span in found} <= {"", *(span for _, span in ids(found))}
    assert [kind_of(span) for span in found].count("chat") == len(kept & {2, 4})
    for root in roots:
        assert attributes_of(root)["agentstack.session.end_reason"] == "hangup"
        assert all(root.start_time_unix_nano <= span.start_time_unix_nano for span in found if not late)


async def test_a_late_turn_that_is_kept() -> None:
    """An exemplar of a turn whose metrics came late and which alone is kept points at the span that there is."""
    completed = {"type": "turn.completed", "turn_number": 2}
    async with otlp_receiver("http/protobuf") as site:
        async with exporting(environment(address_of(site), "http/protobuf", **NONE), slow_turn=2.0, keep_slow_turns=True) as running:
            async with call(running.endpoints.ws) as socket:
                await send_all(socket, [STARTED, completed, ENDED, SLOW])
                await running.endpoints.reaches("agentstack_exporter_frames_received_total", 4)
            page = (await running.endpoints.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")).text
        found = spans_of(site.receiver)
    (turn,) = [span for span in found if kind_of(span) == "invoke_agent"]
    shown = {line.split('span_id="')[1].split('"')[0] for line in page.splitlines() if 'span_id="' in line}
    assert shown == {turn.span_id.hex()}
    assert [kind_of(span) for span in found if not span.parent_span_id] == ["session"]


async def test_a_trace_a_turn() -> None:
    """With a trace a turn each turn is a root of its own, linked to its session, and so are its exemplars."""
    async with otlp_receiver("http/protobuf") as site:
        found = await play(site, [STARTED, PLAIN, SLOW, ENDED], {}, trace_per_turn=True)
    turns = [span for span in found if kind_of(span) == "invoke_agent"]
    wanted = [turn_trace_id(TRACE, ("", number)) for number in (1, 2)]
    assert ids(turns) == [(trace, turn_span_id(trace, ("", number))) for number, trace in enumerate(wanted, 1)]
    assert [(link.trace_id.hex(), link.span_id.hex()) for turn in turns for link in turn.links] == [(TRACE, root_span_id("as-1"))] * 2
    assert not any(turn.parent_span_id for turn in turns)
    assert {(span.trace_id, span.parent_span_id) for span in found if kind_of(span) == "chat"} == {
        (turn.trace_id, turn.span_id) for turn in turns
    }
    assert [kind_of(span) for span in found if span.trace_id.hex() == TRACE] == ["session"]


async def test_values_that_make_no_sense(tmp_path: Path) -> None:
    """Bad OTEL_* values are warned of by name and replaced by their defaults; spans arrive as ever."""
    bad = {
        "OTEL_TRACES_SAMPLER": "sometimes",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "many",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "zip",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "10s",
        "OTEL_EXPORTER_OTLP_HEADERS": "secret-token",
        "OTEL_METRICS_EXEMPLAR_FILTER": "perhaps",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "alpha",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "sure",
    }
    async with otlp_receiver("http/protobuf") as site:
        variables = environment(address_of(site), "http/protobuf", **bad)
        async with daemon_process(tmp_path, env=variables) as daemon, call(daemon.endpoints.ws) as socket:
            await send_all(socket, [STARTED, PLAIN, ENDED])
            await eventually(lambda: len(spans_of(site.receiver)) == 4)
            warned = [line for line in daemon.log.splitlines() if " warning " in line]
    assert [name for name in bad if not any(name in line for line in warned)] == []
    assert "secret-token" not in daemon.log


@pytest.mark.parametrize("command", ["serve", "check-config"])
async def test_an_endpoint_that_leads_nowhere(tmp_path: Path, command: str) -> None:
    """An endpoint without a scheme keeps the exporter from starting, with what to write, instead of losing every span."""
    async with program(tmp_path, command, env={"OTEL_EXPORTER_OTLP_ENDPOINT": "foo"}) as started:
        assert await started.ended() == 2
        assert "OTEL_EXPORTER_OTLP_ENDPOINT: has no scheme, so it leads nowhere; write http://foo:4318" in started.log


@pytest.mark.parametrize("level", ["debug", "error"])
async def test_the_log_level_of_opentelemetry(tmp_path: Path, level: str) -> None:
    """OTEL_LOG_LEVEL is the log's level unless the exporter's own setting says otherwise."""
    async with daemon_process(tmp_path, env={"OTEL_LOG_LEVEL": level}) as daemon:
        daemon.signal(signal.SIGTERM)
        assert await daemon.ended() == 0
        assert ("receiving events" in daemon.log) == (level == "debug")
    own = {"OTEL_LOG_LEVEL": level, "AGENTSTACK_EXPORTER_LOG_LEVEL": "info"}
    async with daemon_process(tmp_path, env=own) as daemon:
        await eventually(lambda: "receiving events" in daemon.log)


async def test_nothing_is_sent_unasked() -> None:
    """Without an endpoint no span is even made."""
    async with exporting({}) as running:
        assert running.daemon.pipeline.spans is None
        async with call(running.endpoints.ws) as socket:
            await send_all(socket, [STARTED, PLAIN, ENDED])
            await running.endpoints.reaches("agentstack_turns_total", 1)
    async with running_daemon() as endpoints:
        assert await endpoints.total("agentstack_exporter_otlp_attempts_total") == 0


async def test_one_signal_alone() -> None:
    """Each signal can be switched off: metrics without spans, and spans without metrics."""
    async with otlp_receiver("http/protobuf") as site:
        assert await play(site, [STARTED, PLAIN, ENDED], {"OTEL_TRACES_EXPORTER": "none"}) == []
        assert {request.signal for request in site.receiver.requests} == {"metrics"}
        site.receiver.requests.clear()
        assert len(await play(site, [STARTED, PLAIN, ENDED], {"OTEL_METRICS_EXPORTER": "none"})) == 4
        assert {request.signal for request in site.receiver.requests} == {"traces"}


async def test_limits_on_what_a_span_holds() -> None:
    """The first attributes, events and links stay, and the span says how many did not; without a limit that holds all stay."""
    noted = {"type": "user.backchannel", "detection_delay_ms": 80}
    tight = {
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "3",
        "OTEL_SPAN_EVENT_COUNT_LIMIT": "2",
        "OTEL_SPAN_LINK_COUNT_LIMIT": "0",
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "0",
    }
    found = []
    for variables in ({}, tight):
        async with otlp_receiver("http/protobuf") as site:
            spans = await play(site, [STARTED, *[noted] * 5, PLAIN, ENDED], variables, trace_per_turn=True)
        found.append(next(span for span in spans if kind_of(span) == "invoke_agent"))
    whole, cut = found
    assert (len(whole.events), len(whole.links), whole.dropped_attributes_count) == (5, 1, 0)
    assert cut.attributes == whole.attributes[:3]
    assert cut.dropped_attributes_count == len(whole.attributes) - 3
    assert [event.name for event in cut.events] == [event.name for event in whole.events[:2]]
    assert (cut.dropped_events_count, len(cut.links), cut.dropped_links_count) == (3, 0, 1)
    assert {event.dropped_attributes_count for event in cut.events} == {len(whole.events[0].attributes)} != {0}
    assert (cut.trace_id, cut.span_id, cut.name) == (whole.trace_id, whole.span_id, whole.name)
