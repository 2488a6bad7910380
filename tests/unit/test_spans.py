"""Events of a session and the spans they become."""

import sys
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.pipeline import Pipeline, Tracing
from exporter.protocol.ids import root_span_id, trace_id, turn_span_id
from exporter.sessions.app_state import AppState, LlmAnswer, ToolAnswer
from exporter.sessions.clock import PlatformClock
from exporter.sessions.kept_calls import KeptCalls
from exporter.sessions.registry import SessionTimeouts
from exporter.sessions.span_state import MAX_EVENTS, MAX_TOOLS, MAX_WAITING_TURNS
from exporter.tracing.sampling import Sampler, SamplerName, SpanOptions
from tests.support.core import Core
from tests.support.samples import noted
from tests.support.traced import RECEIPT, Player, new_session, values

STAMP = "2026-05-04T09:00:07.000Z"
CASCADE = noted("a whole cascade turn")


def turn(number: int | None = 2, **fields: Any) -> dict[str, Any]:
    return {"type": "turn.metrics", "turn_number": number, **fields}


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def names(spans: list[Span]) -> list[str]:
    return sorted(span.name.split()[0] for span in spans)


def test_a_turn_hangs_below_its_session() -> None:
    """Ids are derived from the session and the turn's key, so that exemplars and spans agree."""
    player = Player().play(CASCADE).finish()
    found, root = player.named("invoke_agent"), player.named("session")
    assert found.trace_id.hex() == root.trace_id.hex() == trace_id("as-7f3c")
    assert root.span_id.hex() == root_span_id("as-7f3c")
    assert not root.parent_span_id
    assert found.parent_span_id == root.span_id
    assert found.span_id.hex() == turn_span_id(trace_id("as-7f3c"), ("", 2))
    assert player.named("chat").parent_span_id == found.span_id
    assert len({span.span_id for span in player.emitted}) == len(player.emitted)


def test_only_stages_that_say_something_have_a_span() -> None:
    """A stage has a span if and only if any of its fields is present."""
    assert names(Player().play(turn(llm_total_tokens=5)).emitted) == ["chat", "invoke_agent"]
    assert names(Player().play(turn(tts_timestamp=RECEIPT)).emitted) == ["invoke_agent", "text_to_speech"]
    assert names(Player().play(turn()).emitted) == ["invoke_agent"]


PHONE = "+1 555 123 4567"
PHONED = [
    turn(llm_model=PHONE, llm_provider=PHONE, stt_model="my " + PHONE, tts_label=PHONE, realtime_model=PHONE, error_source=PHONE),
    turn(3, llm_availability={PHONE: True, "openai/gpt-4o": False}),
    event("tool.called", id="1", name=PHONE),
    event("tool.executed", tool_name=PHONE, calls=[{"name": PHONE}]),
    event("session.usage", models=[{"type": "llm_usage", "model": PHONE, "provider": PHONE, "input_tokens": 5_551_234_567}]),
]


def test_what_looks_like_a_phone_number_is_masked() -> None:
    """Names of models, providers and tools are masked in spans as in the labels of metrics, also where they are keys of JSON."""
    player = Player().play(*PHONED).finish()
    assert "555 123" not in str(player.emitted)
    assert {span.name for span in player.emitted} >= {"chat _masked", "speech_to_text my _masked", "execute_tool _masked"}
    assert '"input_tokens":5551234567' in str(values(player.named("session").attributes)["agentstack.session.usage"])


def test_phone_numbers_are_captured_with_content() -> None:
    """If content is captured, names are written as they are."""
    player = Player(SpanOptions(capture=True)).play(*PHONED).finish()
    assert {span.name for span in player.emitted} >= {f"chat {PHONE}", f"execute_tool {PHONE}"}
    assert "_masked" not in str(player.emitted)


def test_kinds_tell_calls_of_models() -> None:
    """Calls of a model's provider are clients, the rest is internal."""
    clients = {span.name.split()[0] for span in Player().play(CASCADE).emitted if span.kind == Span.SPAN_KIND_CLIENT}
    assert clients == {"speech_to_text", "chat", "text_to_speech"}


@pytest.mark.parametrize("source", ["stt", "llm", "tts", "realtime", "LLM"])
def test_a_failed_stage_has_an_error(source: str) -> None:
    """The stage that failed has error status and type, with or without other fields, and so has the turn."""
    player = Player().play(turn(error_source=source)).finish()
    failed = [span for span in player.emitted if span.status.code == Status.STATUS_CODE_ERROR]
    assert len(failed) == 2
    assert {values(span.attributes)["error.type"] for span in failed} == {source}
    assert not any(span.status.message for span in failed)


def test_an_unknown_stage_fails_the_turn_alone() -> None:
    """An error source that is no stage is an attribute of the turn alone."""
    player = Player().play(turn(error_source="moon"))
    assert [values(span.attributes)["error.type"] for span in player.emitted] == ["moon"]


def test_an_interruption_is_no_error() -> None:
    """An interrupted turn says so in attributes and has no error status."""
    found = Player().play(turn(interrupted=True)).named("invoke_agent")
    assert found.status.code == Status.STATUS_CODE_UNSET
    assert values(found.attributes)["agentstack.turn.end_reason"] == "interrupted"


def test_first_output_is_an_event() -> None:
    """First token and first byte are events of their spans, at their delay."""
    player = Player().play(turn(llm_ttft_ms=300, tts_ttfb_ms=100, realtime_ttft_ms=50))
    found = {}
    for name in ("chat", "text_to_speech", "realtime_inference"):
        span = player.named(name)
        (mark,) = span.events
        found[name, mark.name] = (mark.time_unix_nano - span.start_time_unix_nano) / 1e6
    assert found == {("chat", "first_token"): 300, ("text_to_speech", "first_byte"): 100, ("realtime_inference", "first_token"): 50}


def test_small_events_wait_for_their_turn() -> None:
    """An event that comes between two turns is on the span of the second."""
    player = Player()
    player.play(event("agent.speech_created", source="say", timestamp=STAMP), turn(1), event("user.dtmf", digit="5"), turn(2))
    first, _, second = player.emitted
    assert [seen.name for seen in first.events] == ["agent.speech_created"]
    assert [seen.name for seen in second.events] == ["user.dtmf"]
    assert values(player.named("agent_speech").attributes) == {"agentstack.speech.source": "say"}


def test_late_metrics_find_what_was_collected() -> None:
    """The buffer of a completed turn waits for its metrics, whatever happens in between."""
    player = Player()
    player.play(
        event("user.turn_completed", turn_id="t-1", timestamp=STAMP),
        event("turn.completed", turn_number=1, turn_id="t-1"),
        event("user.idle", reason="no_response"),
        turn(2),
        turn(1),
    )
    by_number = {values(span.attributes).get("agentstack.turn.number"): span for span in player.emitted}
    assert [seen.name for seen in by_number[2].events] == ["user.idle"]
    assert [seen.name for seen in by_number[1].events] == ["user.turn_completed"]
    assert values(by_number[1].attributes)["agentstack.turn.id"] == "t-1"


def test_a_completion_after_its_metrics_takes_nothing() -> None:
    """Events after a turn's metrics belong to the next turn, even if turn.completed comes in between."""
    player = Player().play(turn(1), event("user.idle"), event("turn.completed", turn_number=1), turn(2))
    assert [seen.name for seen in player.emitted[-1].events] == ["user.idle"]


def test_partial_transcripts_bring_nothing() -> None:
    """Only a final transcript gives the language."""
    player = Player()
    player.play(event("user.transcription", language="en", is_final=True), event("user.transcription", language="xx", is_final=False))
    assert values(player.play(turn()).named("speech_to_text").attributes)["agentstack.stt.language"] == "en"


def test_events_are_bounded_and_say_so() -> None:
    """A turn carries a limited number of events and the number of those dropped."""
    player = Player().play(*[event("user.idle")] * (MAX_EVENTS + 3), turn())
    (found,) = player.emitted
    assert len(found.events) == MAX_EVENTS
    assert found.dropped_events_count == 3


def test_what_finds_no_turn_is_on_the_session() -> None:
    """Events and tool calls after the last turn belong to the session."""
    player = Player().play(event("user.idle"), event("tool.called", id="1", name="look")).finish()
    assert [seen.name for seen in player.named("session").events] == ["user.idle"]
    assert player.named("execute_tool").parent_span_id == player.named("session").span_id


@pytest.mark.parametrize("called", [[], ["in"]])
def test_what_a_turn_was_written_with(called: list[str]) -> None:
    """The journal learns the state of the platform's clock that a turn was laid out with, also if the turn has tool calls."""
    player = Player()
    KeptCalls(1 << 20).open(player.session)
    player.play(*(event("tool.executed", calls=[{"name": name}], timestamp=STAMP) for name in called), CASCADE)
    before = Player().play(*(event("tool.executed", calls=[{"name": name}], timestamp=STAMP) for name in called))
    clock = before.session.spans.clock if before.session.spans else PlatformClock()
    assert player.session.journal is not None
    written = player.session.journal.written
    assert written is not None
    assert (written.earliest, written.lag) == (clock.earliest, clock.lag)


def test_tools_are_below_the_turn_they_fall_in() -> None:
    """A tool call within the turn's time is its child, one outside belongs to the session."""
    inside = event("tool.executed", calls=[{"name": "in", "is_error": True}], timestamp=STAMP)
    outside = event("tool.executed", calls=[{"name": "out"}], timestamp="2026-05-04T08:59:59Z")
    player = Player().play(inside, outside, CASCADE).finish()
    tools = {span.name: span for span in player.emitted if span.name.startswith("execute_tool")}
    assert tools["execute_tool in"].parent_span_id == player.named("invoke_agent").span_id
    assert tools["execute_tool in"].status.code == Status.STATUS_CODE_ERROR
    assert tools["execute_tool out"].parent_span_id == player.named("session").span_id
    assert tools["execute_tool out"].status.code == Status.STATUS_CODE_UNSET


def test_a_sub_agent_lasts_from_start_to_end() -> None:
    """A sub-agent is a span with its length, and one that failed says so."""
    player = Player()
    player.play(event("agent_tool.started", agent_tool_id="a", agent_tool_type="collect"), receipt=RECEIPT)
    player.play(event("agent_tool.failed", agent_tool_id="a"), receipt=RECEIPT + 3).finish(receipt=RECEIPT + 3)
    found = player.named("execute_tool")
    assert found.name == "execute_tool collect"
    assert found.end_time_unix_nano - found.start_time_unix_nano == 3_000_000_000
    assert values(found.attributes)["error.type"] == "agent_tool_error"


def test_a_sub_agent_ends_with_its_session() -> None:
    """A sub-agent without an end event has its span when the session ends."""
    player = Player().play(event("agent_tool.started", agent_tool_id="a", agent_tool_type="collect")).finish()
    assert player.named("execute_tool").name == "execute_tool collect"


def test_a_turn_without_metrics_has_its_span() -> None:
    """Without turn.metrics the span is written from turn.completed, and marked as such."""
    player = Player()
    completed = TurnCompleted(turn_number=1, llm_ttft_s=0.3, turn_id="t-1")
    player.play(event("turn.completed", turn_number=1, turn_id="t-1"))
    player.spans.without_metrics(player.session, completed, RECEIPT)
    seen = values(player.named("invoke_agent").attributes)
    assert seen["agentstack.turn.without_metrics"] is True
    assert seen["agentstack.turn.id"] == "t-1"
    assert player.named("chat").end_time_unix_nano - player.named("chat").start_time_unix_nano == 300_000_000
    player.play(turn(1))
    first, second = (span for span in player.emitted if span.name.startswith("invoke_agent"))
    assert first.span_id != second.span_id
    assert values(second.attributes)["agentstack.turn.late"] is True


def test_the_session_is_written_once() -> None:
    """The root is written once, at the end, and later turns are still its children."""
    player = Player().play(event("session.ended", reason="user_hangup")).finish().play(turn())
    assert names(player.emitted) == ["invoke_agent", "session"]
    assert values(player.named("session").attributes)["agentstack.session.end_reason"] == "user_hangup"
    assert player.named("invoke_agent").parent_span_id == player.named("session").span_id


@pytest.mark.parametrize("reason", ["disconnected", "idle", "shutdown"])
def test_our_own_reason_stands_in(reason: str) -> None:
    """A session that we ended has our reason, and covers its turns."""
    player = Player().play(CASCADE).finish(reason)
    root, found = player.named("session"), player.named("invoke_agent")
    assert values(root.attributes)["agentstack.session.end_reason"] == reason
    assert root.start_time_unix_nano <= found.start_time_unix_nano
    assert found.end_time_unix_nano <= root.end_time_unix_nano


def test_a_session_error_fails_the_session() -> None:
    """The error's code is its type; the message is personal."""
    player = Player().play(event("session.error", code="llm_timeout", message="secret")).finish()
    root = player.named("session")
    assert root.status.code == Status.STATUS_CODE_ERROR
    assert values(root.attributes)["error.type"] == "llm_timeout"
    assert b"secret" not in player.raw[0]


def test_session_times_that_cannot_be_right_are_left_aside() -> None:
    """A reported end far from its receipt does not stretch the session's span."""
    player = Player().play(CASCADE, event("session.ended", started_at="2001-01-01T00:00:00Z", ended_at="2200-01-01T00:00:00Z"))
    root = player.named("session")
    assert root.end_time_unix_nano - root.start_time_unix_nano < 60_000_000_000


def test_a_trace_a_turn() -> None:
    """In that mode each turn is a trace of its own that links to the session's."""
    player = Player(SpanOptions(per_turn=True)).play(turn(1, llm_ttft_ms=1), turn(2)).finish()
    root = player.named("session")
    first, second = (span for span in player.emitted if span.name.startswith("invoke_agent"))
    assert len({root.trace_id, first.trace_id, second.trace_id}) == 3
    assert not first.parent_span_id
    assert (first.links[0].trace_id, first.links[0].span_id) == (root.trace_id, root.span_id)
    assert player.named("chat").trace_id == first.trace_id
    assert values(first.attributes)["gen_ai.conversation.id"] == "as-7f3c"
    reference = player.spans.reference(player.session, TurnMetrics(turn_number=1.0))
    assert reference is not None
    assert (reference.trace_id, reference.span_id) == (first.trace_id.hex(), first.span_id.hex())


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 1.0])
def test_sampling_is_the_sdks(ratio: float) -> None:
    """We decide as the SDK's sampler does for the same trace id."""
    theirs, ours = TraceIdRatioBased(ratio), Sampler("parentbased_traceidratio", ratio)
    traces = [trace_id(f"session-{number}") for number in range(300)] + ["f" * 32, "0" * 31 + "1"]
    for trace in traces:
        decision = theirs.should_sample(None, int(trace, 16), "session").decision
        assert ours.samples(trace) == (decision is Decision.RECORD_AND_SAMPLE)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_ratio_is_between_0_and_1(ratio: float) -> None:
    """Any other ratio is refused."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        Sampler("traceidratio", ratio)


@pytest.mark.parametrize("sampler", ["always_off", "parentbased_always_off"])
def test_what_is_not_sampled_is_not_written(sampler: SamplerName) -> None:
    """An unsampled session writes nothing, remembers nothing, and gives exemplars nothing to point at."""
    player = Player(SpanOptions(sampler=sampler)).play(event("user.idle"), CASCADE).finish()
    assert player.raw == []
    assert player.session.spans is not None
    assert player.session.spans.turn_buffer is None
    assert player.spans.reference(player.session, TurnMetrics(turn_number=1.0)) is None


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        (SpanOptions(sampler="always_off", keep_slow_above=2.0), {"user_perceived_ms": 2001.0}),
        (SpanOptions(sampler="always_off", keep_interrupted=True), {"interrupted": True}),
        (SpanOptions(sampler="always_off", keep_failed=True), {"error_source": "moon"}),
    ],
)
def test_a_kept_turn_keeps_its_session(options: SpanOptions, fields: dict[str, Any]) -> None:
    """A kept turn is written although not sampled, with its events and its root; no other turn is."""
    player = Player(options).play(turn(1, user_perceived_ms=2000.0), event("user.idle"), turn(2, **fields)).finish()
    kept = player.named("invoke_agent")
    assert values(kept.attributes)["agentstack.turn.number"] == 2
    assert [seen.name for seen in kept.events] == ["user.idle"]
    assert player.named("session").span_id == kept.parent_span_id
    assert not Player(options).play(turn(1)).finish().raw


def test_a_session_with_a_made_up_name_claims_no_conversation() -> None:
    """A generated id is not written as the conversation id."""
    player = Player(session=new_session("unnamed-1", agent=None))
    player.session.has_generated_id = True
    player.play(turn())
    (found,) = player.emitted
    assert found.name == "invoke_agent"
    assert "gen_ai.conversation.id" not in values(found.attributes)


def test_a_call_that_goes_on_after_it_was_cut_off() -> None:
    """Every end writes a session span; later ones are children of the first, and all ids differ."""
    made: list[bytes] = []
    core = Core()
    core.pipeline = Pipeline(LabelLimits(), SessionTimeouts(resume=5.0), core, core.now, tracing=Tracing(SpanOptions(), made.extend))
    for number in (1, 2, 3):
        call = core.call()
        call.turn(number, user_perceived_ms=800)
        call.close()
        core.let_pass(6.0)
    spans = [Span.FromString(raw) for raw in made]
    sessions = [span for span in spans if span.name == "session"]
    assert len({span.span_id for span in spans}) == len(spans)
    assert [span.parent_span_id for span in sessions] == [b"", sessions[0].span_id, sessions[0].span_id]
    assert {span.parent_span_id for span in spans if span.name.startswith("invoke_agent")} == {sessions[0].span_id}
    assert ["agentstack.session.continued" in values(span.attributes) for span in sessions] == [False, True, True]


def test_a_session_that_gets_its_name_late() -> None:
    """Turns before session.started are in a complete trace of their own, later turns in the session's trace."""
    made: list[bytes] = []
    core = Core()
    core.pipeline = Pipeline(LabelLimits(), SessionTimeouts(), core, core.now, tracing=Tracing(SpanOptions(), made.extend))
    call = core.connect()
    call.send("call.transferred", destination=["+14155550100"])
    call.turn(1, user_perceived_ms=800)
    call.send("session.started", agent_session_id="as-1", agent_id="support")
    call.turn(2, user_perceived_ms=800)
    call.send("session.ended", reason="hangup")
    spans = [Span.FromString(raw) for raw in made]
    roots = [span for span in spans if not span.parent_span_id]
    assert [span.name for span in roots] == ["session", "session"]
    assert [values(span.attributes)["agentstack.session.end_reason"] for span in roots] == ["renamed", "hangup"]
    assert roots[1].trace_id.hex() == trace_id("as-1") != roots[0].trace_id.hex()
    assert (len(roots[0].events), len(roots[1].events)) == (1, 0), "what happened before is told once"
    for root in roots:
        of_trace = [span for span in spans if span.trace_id == root.trace_id]
        assert {span.parent_span_id for span in of_trace} <= {b"", *(span.span_id for span in of_trace)}
        assert len(of_trace) > 1


def test_turns_without_number_are_told_apart() -> None:
    """Turns without a number have different ids."""
    player = Player().play(turn(None), turn(None))
    assert len({span.span_id for span in player.emitted}) == 2
    assert player.spans.reference(player.session, TurnMetrics()) is None


def test_a_session_remembers_little() -> None:
    """Nothing a peer sends makes a session's state grow without bound."""
    player = Player(SpanOptions(capture=True))
    for number in range(300):
        player.play(
            event("tool.called", name=f"t{number}"),
            event("agent_tool.started", agent_tool_id=str(number)),
            event("agent.handoff", new_agent="x"),
            event("turn.completed", turn_number=number),
        )
    state = player.session.spans
    assert state is not None
    assert state.root_buffer is not None
    assert len(state.waiting_turns or ()) <= MAX_WAITING_TURNS
    assert len(state.root_buffer.events) <= MAX_EVENTS
    assert len(state.root_buffer.tools) <= MAX_TOOLS
    assert player.spans.tools.dropped > 0


def test_an_idle_session_is_small() -> None:
    """A session that only started holds less than two kilobytes for its spans."""
    player = Player().play(noted("first event of a managed call"))
    state = player.session.spans
    assert state is not None
    assert state.root_buffer is not None
    held = [
        state,
        state.clock,
        state.root_buffer,
        state.root_buffer.attributes,
        state.root_buffer.events,
        state.root_buffer.tools,
        *state.root_buffer.attributes.values(),
    ]
    assert sum(map(sys.getsizeof, held)) < 2048


def relayed() -> Player:
    """A call whose app is seen too."""
    player = Player()
    player.session.app = AppState()
    return player


def test_a_relayed_tool_call_lasts_until_the_app_answers() -> None:
    """A tool's span ends and fails with the answer; without an answer it is marked and is a child of the session."""
    player = relayed().play(
        event("tool.called", id="t1", name="lookup"), event("tool.called", id="t2", name="lost"), receipt=RECEIPT - 4
    )
    player.spans.app_answered(player.session, ToolAnswer("t1", failed=True), RECEIPT - 3.5)
    player.play(turn(sdk_stopped_speaking_at=RECEIPT - 5, agent_started_speaking_at="2026-05-04T09:00:10Z")).finish()
    answered, lost = sorted((span for span in player.emitted if span.name.startswith("execute_tool")), key=lambda span: span.name)
    assert answered.end_time_unix_nano - answered.start_time_unix_nano == 500_000_000
    assert answered.status.code == Status.STATUS_CODE_ERROR
    assert answered.parent_span_id == player.named("invoke_agent").span_id
    assert values(answered.attributes)["error.type"] == "tool_error"
    assert values(lost.attributes)["agentstack.tool.unanswered"] is True
    assert lost.parent_span_id == player.named("session").span_id


def test_an_answer_of_the_customers_llm_is_a_chat_span() -> None:
    """The span lasts from the question to the last token, and the first token is an event."""
    player = relayed().play(event("user.transcription", is_final=True), receipt=RECEIPT - 4)
    player.spans.app_answered(player.session, LlmAnswer(RECEIPT - 4, RECEIPT - 3.5, RECEIPT - 3, abandoned=False), RECEIPT - 3)
    player.play(turn(sdk_stopped_speaking_at=RECEIPT - 5, agent_started_speaking_at="2026-05-04T09:00:10Z")).finish()
    chat = player.named("chat")
    assert chat.kind == Span.SPAN_KIND_CLIENT
    assert chat.end_time_unix_nano - chat.start_time_unix_nano == 1_000_000_000
    assert [(found.name, found.time_unix_nano - chat.start_time_unix_nano) for found in chat.events] == [("first_token", 500_000_000)]
    assert values(chat.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.conversation.id": "as-7f3c",
        "gen_ai.agent.name": "agent-support",
        "gen_ai.request.stream": True,
        "agentstack.llm.source": "app",
    }
    assert chat.parent_span_id == player.named("invoke_agent").span_id


def test_a_tool_of_the_next_turn_waits_for_it() -> None:
    """A sub-agent's tool, called after the turn whose report comes late, hangs under the sub-agent's turn that it falls in."""
    called = {"type": "tool.executed", "calls": [{"name": "look_up"}], "timestamp": "2026-05-04T09:00:08Z"}
    late = turn(user_stopped_speaking_at="2026-05-04T09:00:01Z", agent_started_speaking_at="2026-05-04T09:00:02Z")
    own = turn(
        2, agent_tool_id="at-1", user_stopped_speaking_at="2026-05-04T09:00:07Z", agent_started_speaking_at="2026-05-04T09:00:09Z"
    )
    player = Player().play(event("user.speech_started", timestamp="2026-05-04T09:00:00Z"), called, late, own).finish()
    first, second = (span for span in player.emitted if span.name.startswith("invoke_agent"))
    assert player.named("execute_tool").parent_span_id == second.span_id != first.span_id
