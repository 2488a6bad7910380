"""Frames that are no good end as one outcome each, and what is good in them counts."""

import msgspec
import pytest

from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.pipeline import Tracing
from exporter.protocol.reasons import RejectionReason
from exporter.tracing.sampling import SpanOptions
from tests.data.hostile_frames import REJECTED, TOLERATED, Frame
from tests.support.core import Core

FRAMES = "agentstack_exporter_frames_total"
REFUSED = "agentstack_exporter_values_refused_total"


@pytest.fixture
def core() -> Core:
    """A core that makes spans with all content."""
    return Core(tracing=Tracing(SpanOptions(capture=True), lambda _: None))


def taken(core: Core, frame: Frame) -> CallFeed:
    """The feed of a call whose only frame between start and end is ``frame``."""
    call = core.call()
    call.feed.consume(frame, core.now)
    call.send("session.ended", reason="hangup")
    core.let_pass(60)
    return call.feed


@pytest.mark.parametrize(("frame", "reason"), REJECTED.values(), ids=REJECTED.keys())
def test_what_is_no_event_is_rejected(core: Core, frame: Frame, reason: RejectionReason) -> None:
    """A frame that is no event is counted as rejected with its reason, and the call goes on."""
    taken(core, frame)
    assert core.value(FRAMES, outcome="rejected") == 1
    assert core.value("agentstack_exporter_frames_rejected_total", reason=reason) == 1
    assert core.value("agentstack_sessions_ended_total", reason="hangup") == 1


@pytest.mark.parametrize("frame", TOLERATED.values(), ids=TOLERATED.keys())
def test_an_odd_event_is_not_rejected(core: Core, frame: Frame) -> None:
    """A frame that names an event is processed or ignored, whatever its fields are, with spans of all content."""
    taken(core, frame)
    assert core.value(FRAMES, outcome="rejected") == 0
    assert core.value(FRAMES) == 3


UNUSABLE = {
    "2**64 - 1": (str(2**64 - 1), "too_large"),
    "-2**64": (str(-(2**64)), "negative"),
    "10**400": (f"1{'0' * 400}", "too_large"),
    "5000 digits": ("9" * 5_000, "too_large"),
    "1e309": ("1e309", "too_large"),
    "-1e309": ("-1e309", "negative"),
    "NaN": ("NaN", "not_finite"),
    "Infinity": ("Infinity", "not_finite"),
    "-Infinity": ("-Infinity", "not_finite"),
    "half an emoji": (r'"\ud83d"', "lone_surrogate"),
    "the other half": (r'"so \ude00 it is"', "lone_surrogate"),
}


@pytest.mark.parametrize(("value", "reason"), UNUSABLE.values(), ids=UNUSABLE.keys())
class TestOneBadPart:
    """A value that JSON or the decoder cannot hold costs its field and nothing else."""

    def test_in_a_field(self, core: Core, value: str, reason: str) -> None:
        """The turn counts with its other fields; the field is counted by name and reason."""
        taken(core, f'{{"type":"turn.metrics","llm_ttft_ms":{value},"user_perceived_ms":1240,"llm_completion_tokens":7}}')
        assert core.value(REFUSED, field="llm_ttft_ms", reason=reason) == core.value(REFUSED) == 1
        assert core.value("agentstack_user_perceived_latency_seconds") == 1.24
        assert core.value("agentstack_llm_completion_tokens_total") == 7

    def test_in_an_unknown_field(self, core: Core, value: str, reason: str) -> None:
        """The reason of the session's end counts; the unknown field is counted by its name."""
        call = core.call()
        call.feed.consume(f'{{"type":"session.ended","reason":"hangup","novel":{{"a":[{value}]}}}}', core.now)
        assert core.value("agentstack_sessions_ended_total", reason="hangup") == 1
        assert core.value("agentstack_exporter_unknown_fields_total", event="session.ended", field="novel") == 1
        assert core.value(REFUSED, reason=reason) == 0

    def test_in_a_nested_part(self, core: Core, value: str, reason: str) -> None:
        """The other fields of a nested part count."""
        core.connect().feed.consume(f'{{"event":"media","media":{{"payload":"AAAA","sampleRate":{value}}}}}', core.now)
        assert core.value(REFUSED, reason=reason) == 1
        assert core.value("agentstack_audio_stream_received_bytes_total") == 3

    def test_in_an_entry_of_usage(self, core: Core, value: str, reason: str) -> None:
        """The other values of the entry and the other entries count."""
        bad = f'{{"type":"llm_usage","provider":"a","model":"m","input_tokens":{value},"output_tokens":3}}'
        good = '{"type":"llm_usage","provider":"a","model":"n","input_tokens":5}'
        taken(core, f'{{"type":"session.usage","models":[{bad},{value},{good}]}}')
        assert core.value("agentstack_usage_input_tokens_total") == 5
        assert core.value("agentstack_usage_output_tokens_total") == 3
        assert core.value(REFUSED, reason=reason) >= 1

    def test_in_an_entry_of_executed_tools(self, core: Core, value: str, reason: str) -> None:
        """A tool counts although a part of its output cannot be used; whole numbers of any size can."""
        taken(core, f'{{"type":"tool.executed","calls":[{{"name":"a","output":[1,{value}]}},{{"name":"b","is_error":true}}]}}')
        assert core.value("agentstack_tool_executions_total", tool="a", outcome="ok") == 1
        assert core.value("agentstack_tool_executions_total", tool="b", outcome="error") == 1
        any_json = value.lstrip("-").isdigit() and len(value) < 1_000
        assert core.value(REFUSED, field="calls.output", reason=reason) == (0 if any_json else 1)


@pytest.mark.parametrize("value", ["NaN", r'"\ud83d"', "1", "1e309"])
def test_one_bad_model_costs_no_other(core: Core, value: str) -> None:
    """Of the availability of several LLMs, only the one with a bad value is lost."""
    taken(core, f'{{"type":"turn.metrics","llm_availability":{{"gpt":true,"claude":{value}}}}}')
    assert core.value("agentstack_llm_available", llm="gpt") == 1
    assert len(core.series("agentstack_llm_available")) == 1
    assert core.value(REFUSED, field="llm_availability") == 1


def test_a_name_that_is_no_unicode(core: Core) -> None:
    """An unknown field is counted although its name was cut in half an emoji."""
    taken(core, r'{"type":"play.completed","happy\ud83d":1}')
    (series,) = core.series("agentstack_exporter_unknown_fields_total")
    assert series.labels[0] == "play.completed"
    assert msgspec.json.encode(series.labels[1])


def nested(depth: int, kind: str) -> str:
    """Lists or objects within each other."""
    return "[" * depth + "]" * depth if kind == "lists" else '{"a":' * depth + "1" + "}" * depth


def can_be_read(depth: int, kind: str) -> bool:
    """Whether this Python reads that depth: newer ones read deeper."""
    try:
        msgspec.json.decode(nested(depth, kind))
    except RecursionError:
        return False
    return True


@pytest.mark.parametrize("kind", ["lists", "objects"])
@pytest.mark.parametrize("depth", [60, *range(400, 1_100, 23), 5_000, 10_000])
class TestDepth:
    """A part that is nested too deep costs its field and nothing else. How deep that is depends on the depth of the caller."""

    def test_in_a_field(self, core: Core, depth: int, kind: str) -> None:
        """The turn counts with its other fields, and the field is refused."""
        deep = nested(depth, kind)
        taken(core, f'{{"type":"turn.metrics","llm_ttft_ms":{deep},"user_perceived_ms":1240,"zzz":NaN,"new":{deep}}}')
        assert core.value("agentstack_user_perceived_latency_seconds") == 1.24
        assert core.value(REFUSED, field="llm_ttft_ms", reason="wrong_type") == core.value(REFUSED) == 1
        assert core.value("agentstack_exporter_unknown_fields_total") == 2

    @pytest.mark.parametrize("flaw", ["", ',"zzz":1', ',"zzz":NaN'])
    def test_in_a_field_that_takes_anything(self, core: Core, depth: int, kind: str, flaw: str) -> None:
        """The tools of an event count although the output of one is that deep."""
        taken(core, f'{{"type":"tool.executed","calls":[{{"name":"a","output":{nested(depth, kind)}}},{{"name":"b"}}]{flaw}}}')
        assert core.value("agentstack_tool_executions_total", outcome="ok") == 2
        refused = core.value(REFUSED, field="calls.output", reason="too_deep")
        assert core.value(REFUSED) == refused in ({0} if depth < 100 else {0, 1} if can_be_read(depth, kind) else {1})
