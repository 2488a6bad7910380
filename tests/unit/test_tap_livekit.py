"""What happens in a session of LiveKit Agents → the events of a call. tests/sockets/test_tap_livekit.py does it with real sessions."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from agentstack_tap.client import Tap
from agentstack_tap.livekit import attach, attachment, mapping, turns
from agentstack_tap.livekit.requests import LLM, MOST_REQUESTS, Requests
from exporter.protocol.decoder import PartialEvent, decode
from tests.support.house_rules import ROOT
from tests.support.livekit_session import AgentSession
from tests.support.waiting import eventually

AT = 1_777_885_200.0
MODEL = SimpleNamespace(model_provider="openai", model_name="gpt-4o")
VOICE = SimpleNamespace(model_provider="elevenlabs", model_name="flash")
VAD = SimpleNamespace(model_provider="vad", model_name="unknown")


class Call:
    """A session with the tap attached, and the events that it would send."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
        monkeypatch.setattr(turns, "GRACE", 0.0)
        monkeypatch.setattr(attachment, "_version", lambda: "1.8.9")
        self.session = AgentSession()
        self.events: list[dict[str, Any]] = []
        self.ends: list[str] = []
        self.rests = 0
        monkeypatch.setattr(
            Tap, "send_made", lambda _, name, make: self.events.extend(json.loads(json.dumps(list(make()), allow_nan=False)))
        )
        monkeypatch.setattr(Tap, "open", lambda _: None)
        monkeypatch.setattr(Tap, "end", lambda _, name: self.ends.append(name))
        monkeypatch.setattr(Tap, "rest", lambda _: setattr(self, "rests", self.rests + 1))
        self.tap = attach(self.session, f"ws://127.0.0.1:1/{uuid4()}", agent="shop", session_id="lk-1", **options)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of that type."""
        return [event for event in self.events if event["type"] == kind]

    async def turn(self, number: int = 1) -> dict[str, Any]:
        """The metrics of a turn, once they are sent."""
        await eventually(lambda: len(self.of("turn.metrics")) >= number)
        return self.of("turn.metrics")[number - 1]

    def check(self) -> None:
        """Every event is one that the exporter reads in full."""
        for event in self.events:
            assert not isinstance(decode(json.dumps(event)), PartialEvent), event


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    return Call(monkeypatch)


def ask(session: AgentSession, name: str, at: float = AT, *, report: bool = True) -> Any:
    """The caller has spoken until ``at``, and the agent is about to answer: with reports in messages, or as older versions without."""
    handle = session.speech(name, at + 0.4)
    ended = {"last_speaking_time": at} if not report else {}
    session.measure(
        "eou_metrics",
        at + 0.4,
        end_of_utterance_delay=0.4,
        transcription_delay=0.2,
        on_user_turn_completed_delay=0.0,
        speech_id=name,
        metadata=VAD,
        **ended,
    )
    said = {"started_speaking_at": at - 2, "stopped_speaking_at": at, "transcription_delay": 0.2, "end_of_turn_delay": 0.4}
    session.says("user", at + 0.4, "a question", **(said if report else {}))
    return handle


def think(session: AgentSession, name: str, at: float, *, ttft: float = 0.3, tokens: int = 10, **more: Any) -> None:
    """A request to the LLM that is over at ``at``."""
    fields: dict[str, Any] = {"duration": 0.5, "cancelled": False, "prompt_tokens": 5 * tokens, "completion_tokens": tokens}
    fields |= {
        "total_tokens": 6 * tokens,
        "prompt_cached_tokens": 0,
        "tokens_per_second": 20.0,
        "label": "llm",
        "request_id": f"r-{at}",
    }
    session.measure("llm_metrics", at, ttft=ttft, speech_id=name, metadata=MODEL, **(fields | more))


def speak(session: AgentSession, name: str, at: float, *, ttfb: float = 0.1, characters: int = 20, **more: Any) -> None:
    """A request to the voice that is over at ``at``."""
    fields: dict[str, Any] = {"duration": 0.4, "audio_duration": 1.5, "cancelled": False, "streamed": True, "label": "tts"}
    session.measure("tts_metrics", at, ttfb=ttfb, characters_count=characters, speech_id=name, metadata=VOICE, **(fields | more))


async def test_a_turn_with_reports(call: Call) -> None:
    """Of a session whose messages have a report, a turn has the measurements of both, in milliseconds."""
    session = call.session
    session.user_becomes("speaking", AT - 2)
    session.user_becomes("listening", AT + 0.2, old="speaking")
    session.emit("user_input_transcribed", transcript="a question", is_final=True, language="en", created_at=AT + 0.2)
    session.measure(
        "stt_metrics", AT + 0.2, duration=0.0, audio_duration=2.0, streamed=True, label="stt", request_id="s", metadata=MODEL
    )
    session.measure("vad_metrics", AT + 0.3, idle_time=9.0, inference_count=50, inference_duration_total=0.01, label="vad")
    handle = ask(session, "sp-1")
    think(session, "sp-1", AT + 0.9)
    session.agent_becomes("speaking", AT + 0.95, old="thinking")
    speak(session, "sp-1", AT + 1.2)
    session.says(
        "assistant", AT + 2.5, "an answer", llm_node_ttft=0.31, tts_node_ttfb=0.11, e2e_latency=0.95, started_speaking_at=AT + 0.95
    )
    session.agent_becomes("listening", AT + 2.45, old="speaking")
    handle.done()
    turn = await call.turn()
    assert turn["turn_number"] == 1
    assert (turn["interrupted"], turn["agent_first"], turn["pipeline"]) == (False, False, "stt-llm-tts")
    assert (turn["user_perceived_ms"], turn["stt_delay_ms"], turn["turn_decision_ms"]) == (950, 200, 400)
    assert (turn["llm_ttft_ms"], turn["sdk_llm_ttft_ms"], turn["tts_ttfb_ms"], turn["sdk_tts_ttfb_ms"]) == (300, 310, 100, 110)
    assert (turn["llm_prompt_tokens"], turn["llm_completion_tokens"], turn["tts_characters"]) == (50, 10, 20)
    assert (turn["llm_provider"], turn["llm_model"], turn["tts_provider"], turn["turn_method"]) == (
        "openai",
        "gpt-4o",
        "elevenlabs",
        "vad",
    )
    assert (turn["stt_audio_duration_ms"], turn["vad_inference_count"]) == (2000, 50)
    assert "stt_duration_ms" not in turn
    assert "vad_idle_time_s" not in turn
    assert turn["user_stopped_speaking_at"] == "2026-05-04T09:00:00.000+00:00"
    assert turn["agent_started_speaking_at"] == "2026-05-04T09:00:00.950+00:00"
    (completed,) = call.of("turn.completed")
    assert (completed["turn_number"], completed["turn_id"], completed["llm_ttft_s"]) == (1, "sp-1", 0.3)
    assert call.of("session.started") == [{"type": "session.started", "agent_session_id": "lk-1", "agent_id": "shop"}]
    assert call.of("agent.speech_completed")[0]["playback_position_s"] == 1.5
    assert call.of("user.turn_completed")[0]["turn_id"] == "sp-1"
    assert len(call.of("agent.speech_started")) == len(call.of("agent.speech_created")) == 1
    assert not any("text" in event or "user_text" in event for event in call.events)
    assert not session.warned
    ask(session, "sp-2", AT + 9).done()
    assert not {"stt_audio_duration_ms", "vad_inference_count", "stt_model"} & (await call.turn(2)).keys()
    call.check()


async def test_a_turn_without_reports(call: Call) -> None:
    """Of an older session the wait is what lies between the caller's last word and the agent's first, and no sdk field is there."""
    handle = ask(call.session, "sp-1", report=False)
    think(call.session, "sp-1", AT + 0.9)
    call.session.agent_becomes("speaking", AT + 0.95, old="thinking")
    call.session.says("assistant", AT + 2.5)
    call.session.agent_becomes("listening", AT + 2.5, old="speaking")
    handle.done()
    turn = await call.turn()
    assert (turn["user_perceived_ms"], turn["agent_first"]) == (950, False)
    assert turn["user_stopped_speaking_at"] == "2026-05-04T09:00:00.000+00:00"
    assert not any(name.startswith("sdk_") for name in turn)
    call.check()


async def test_what_did_not_happen_is_absent(call: Call) -> None:
    """−1 and an unknown 0.0 are no measurements, nor is a wait without one of its ends."""
    handle = call.session.speech("sp-1", AT)
    call.session.measure("eou_metrics", AT, end_of_utterance_delay=0.0, transcription_delay=0.0, speech_id="sp-1", last_speaking_time=0)
    think(call.session, "sp-1", AT + 0.9, ttft=-1)
    speak(call.session, "sp-1", AT + 1.0, ttfb=-1, characters=0)
    call.session.agent_becomes("speaking", AT + 1)
    handle.done()
    turn = await call.turn()
    absent = {"stt_delay_ms", "turn_decision_ms", "llm_ttft_ms", "tts_ttfb_ms", "user_perceived_ms", "turn_method"}
    assert not absent & turn.keys()
    assert turn["agent_first"] is False


async def test_tools_within_a_turn(call: Call) -> None:
    """Tokens of all requests are added up; the times are those of the request that the answer came from."""
    handle = ask(call.session, "sp-1")
    think(call.session, "sp-1", AT + 0.9, ttft=0.1)
    calls = [SimpleNamespace(name="find", call_id="c-1", arguments="{}"), SimpleNamespace(name="note", call_id="c-2", arguments="{}")]
    outputs = [SimpleNamespace(call_id="c-1", is_error=False, output="42"), None]
    call.session.emit("function_tools_executed", function_calls=calls, function_call_outputs=outputs, created_at=AT + 1)
    think(call.session, "sp-1", AT + 1.6, ttft=0.2)
    call.session.agent_becomes("speaking", AT + 1.5, old="thinking")
    think(call.session, "sp-1", AT + 2.6, ttft=0.4)
    call.session.agent_becomes("listening", AT + 3, old="speaking")
    handle.done()
    turn = await call.turn()
    assert (turn["llm_ttft_ms"], turn["llm_completion_tokens"], turn["llm_request_id"]) == (200, 30, f"r-{AT + 1.6}")
    found = call.of("tool.executed")[0]["calls"]
    assert found == [{"name": name, "call_id": number, "is_error": False} for name, number in (("find", "c-1"), ("note", "c-2"))]
    call.check()


async def test_a_voice_that_takes_a_request_a_sentence(call: Call) -> None:
    """Characters and audio are added up, the first byte is the first request's, and the synthesis reaches over all of them."""
    handle = call.session.speech("sp-1", AT, source="say")
    call.session.agent_becomes("speaking", AT + 0.1)
    for number in range(3):
        speak(call.session, "sp-1", AT + 0.5 + number, ttfb=0.1 + number, characters=10)
    handle.done()
    turn = await call.turn()
    assert (turn["tts_characters"], turn["tts_audio_duration_ms"], turn["tts_ttfb_ms"]) == (30, 4500, 100)
    assert turn["tts_duration_ms"] == pytest.approx(2400)
    assert turn["agent_first"] is True


@pytest.mark.parametrize(
    ("source", "heard", "interrupted"),
    [
        (None, "speaks", True),
        (None, "spoke", True),
        (None, "nothing", False),
        ("audio_activity", "nothing", True),
        ("user_turn", "nothing", True),
        ("programmatic", "speaks", False),
    ],
)
async def test_interruptions(call: Call, source: str | None, heard: str, *, interrupted: bool) -> None:
    """The caller interrupted the agent if the speech says so; if it does not say why it was cut, if the caller was heard meanwhile."""
    handle = ask(call.session, "sp-1")
    call.session.agent_becomes("speaking", AT + 1)
    if heard != "nothing":
        call.session.user_becomes("speaking", AT + 2)
    if heard == "spoke":
        call.session.user_becomes("listening", AT + 2.2, old="speaking")
    handle._interrupt_source = source
    call.session.agent_becomes("listening", AT + 2.5, old="speaking")
    handle.done(interrupted=True)
    turn = await call.turn()
    assert turn["interrupted"] is interrupted
    assert len(call.of("agent.speech_interrupted")) == int(interrupted)
    assert call.of("agent.speech_completed") == []


async def test_what_is_no_turn(call: Call) -> None:
    """A reply that was prepared and dropped, and words that nobody heard or asked for, are no turns; an unheard answer is one."""
    call.session.speech("prepared", AT, scheduled=False).done(interrupted=True)
    call.session.speech("unheard", AT, source="say").done(interrupted=True)
    ask(call.session, "cut").done(interrupted=True)
    turn = await call.turn()
    assert len(call.of("turn.metrics")) == 1
    assert (turn["interrupted"], turn["agent_first"]) == (False, False)
    assert "user_perceived_ms" not in turn
    assert [event["timestamp"] for event in call.of("agent.speech_created")] == [mapping.rfc3339(AT), mapping.rfc3339(AT + 0.4)]


async def test_a_prepared_reply_that_is_used(call: Call) -> None:
    """A reply that was generated ahead is a speech once it is chosen, and its tokens are those of the turn."""
    handle = call.session.speech("sp-1", AT, scheduled=False)
    think(call.session, "sp-1", AT + 0.2)
    handle.scheduled, call.session.current_speech = True, handle
    call.session.measure("eou_metrics", AT + 0.4, end_of_utterance_delay=0.4, transcription_delay=0.2, speech_id="sp-1", metadata=VAD)
    call.session.agent_becomes("speaking", AT + 0.5)
    handle.done()
    assert (await call.turn())["llm_completion_tokens"] == 10
    assert len(call.of("agent.speech_created")) == 1


async def test_a_message_that_comes_before_its_end(call: Call) -> None:
    """The caller's message is that of the turn whose end has the same delay, whichever comes first."""
    session = call.session
    handles = [session.speech(name, AT) for name in ("sp-1", "sp-2")]
    session.says("user", AT, started_speaking_at=AT - 3, stopped_speaking_at=AT - 1, end_of_turn_delay=0.7)
    session.measure("eou_metrics", AT, end_of_utterance_delay=0.7, transcription_delay=0.2, speech_id="sp-1", metadata=VAD)
    session.measure("eou_metrics", AT, end_of_utterance_delay=0.8, transcription_delay=0.2, speech_id="sp-2", metadata=VAD)
    for handle in handles:
        handle.done()
    assert (await call.turn())["sdk_end_of_turn_delay_ms"] == 700
    assert "sdk_end_of_turn_delay_ms" not in await call.turn(2)


async def test_handles_that_are_always_said(call: Call) -> None:
    """A speech of a version that prepares none is one from the beginning."""
    handle = call.session.speech("sp-1", AT)
    del handle.scheduled
    await eventually(lambda: call.of("agent.speech_created"))


async def test_typed_messages(call: Call) -> None:
    """A caller who types has a turn and no wait."""
    handle = call.session.speech("sp-1", AT)
    call.session.says("user", AT, "typed")
    call.session.agent_becomes("speaking", AT + 1)
    handle.done()
    turn = await call.turn()
    assert turn["agent_first"] is False
    assert "user_perceived_ms" not in turn


async def test_speech_to_speech(call: Call) -> None:
    """A realtime model's responses are a turn of their own pipeline; of a session with such a model other turns are too."""
    details = {
        "input_token_details": SimpleNamespace(
            audio_tokens=30, text_tokens=5, image_tokens=0, cached_tokens=8, cached_tokens_details=None
        ),
        "output_token_details": SimpleNamespace(audio_tokens=40, text_tokens=2, image_tokens=0),
    }
    session = call.session
    session.says("user", AT, started_speaking_at=AT - 1)
    handle = session.speech("sp-1", AT)
    session.agent_becomes("speaking", AT + 0.4)
    for ttft in (-1, 0.3):
        session.measure(
            "realtime_model_metrics",
            AT,
            ttft=ttft,
            duration=2.0,
            cancelled=False,
            input_tokens=35,
            output_tokens=42,
            metadata=MODEL,
            **details,
        )
    session.says("assistant", AT + 2, e2e_latency=0.4, started_speaking_at=AT + 0.4, stopped_speaking_at=AT + 2)
    handle.done()
    turn = await call.turn()
    assert (turn["pipeline"], turn["realtime_ttft_ms"], turn["realtime_input_tokens"], turn["realtime_cached_tokens"]) == (
        "s2s",
        300,
        70,
        16,
    )
    assert (turn["user_perceived_ms"], turn["realtime_model"]) == (400, "gpt-4o")
    session.agent = SimpleNamespace(llm=type("Model", (type("RealtimeModel", (), {}),), {})())
    handle = session.speech("sp-2", AT + 3, source="say")
    session.agent_becomes("speaking", AT + 3)
    session.agent_becomes("listening", AT + 4, old="speaking")
    handle.done()
    assert (await call.turn(2))["pipeline"] == "s2s"
    call.check()


async def test_usage_that_the_session_adds_up(call: Call) -> None:
    """It is sent with a turn, in our fields, and only if it has changed."""
    entry = SimpleNamespace(
        type="llm_usage", provider="openai", model="gpt-4o", input_tokens=50, output_tokens=10, input_audio_tokens=3
    )
    call.session.emit("session_usage_updated", usage=SimpleNamespace(model_usage=[entry]), created_at=AT)
    for number in (1, 2):
        ask(call.session, f"sp-{number}").done()
        await call.turn(number)
    used = {"type": "llm_usage", "provider": "openai", "model": "gpt-4o", "input_tokens": 50, "output_tokens": 10}
    assert call.of("session.usage") == [{"type": "session.usage", "models": [used]}]
    call.check()


async def test_usage_that_is_added_up_here(call: Call) -> None:
    """Without the session's own totals they are made of its measurements, those that belong to no turn included."""
    think(call.session, "unknown", AT, tokens=7)
    handle = ask(call.session, "sp-1")
    think(call.session, "sp-1", AT + 0.9)
    speak(call.session, "sp-1", AT + 1)
    handle.done()
    turn = await call.turn()
    assert turn["llm_completion_tokens"] == 10
    await eventually(lambda: call.of("session.usage"))
    assert {entry["type"]: entry for entry in call.of("session.usage")[0]["models"]} == {
        "llm_usage": {"type": "llm_usage", "provider": "openai", "model": "gpt-4o", "input_tokens": 85, "output_tokens": 17},
        "tts_usage": {"type": "tts_usage", "provider": "elevenlabs", "model": "flash", "characters_count": 20, "audio_duration": 1.5},
    }


async def test_the_end_of_a_session(call: Call) -> None:
    """It completes what goes on, says why, and listens no more."""
    session = call.session
    session.agent_becomes("idle", AT, old="initializing")
    ask(session, "sp-1", AT + 1)
    failed = SimpleNamespace(type="llm_error", recoverable=False, error=RuntimeError("secret"))
    session.emit(
        "error", error=SimpleNamespace(type="llm_error", recoverable=True, error=RuntimeError("secret")), source=None, created_at=AT
    )
    session.emit("error", error=failed, source=None, created_at=AT + 2)
    session.emit("close", reason=SimpleNamespace(value="error"), error=failed, created_at=AT + 9)
    session.agent_becomes("speaking", AT + 10)
    await asyncio.sleep(0)  # what was due after the speech is due now
    await asyncio.sleep(0)
    assert len(call.of("turn.metrics")) == 1
    assert [event["code"] for event in call.of("session.error")] == ["llm_error_retried", "llm_error"]
    assert call.of("turn.metrics")[0]["error_source"] == "llm"
    assert call.events[-1] == {
        "type": "session.ended",
        "reason": "error",
        "turn_count": 1,
        "started_at": mapping.rfc3339(AT),
        "ended_at": mapping.rfc3339(AT + 9),
        "duration_seconds": 9.0,
    }
    assert call.of("agent.state_changed")[0].keys() == {"type", "new_state", "timestamp"}
    assert "secret" not in json.dumps(call.events)
    assert (call.ends, call.rests) == (["lk-1"], 1)
    assert not any(session.callbacks.values())
    call.check()


async def test_texts_only_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said, tools' arguments and errors' messages are sent if the app wants that."""
    call = Call(monkeypatch, texts=True)
    session = call.session
    session.emit("user_input_transcribed", transcript="a question", is_final=True, language=None, created_at=AT)
    handle = ask(session, "sp-1")
    session.says("assistant", AT + 1, "one")
    session.says("assistant", AT + 2, "two")
    tool = SimpleNamespace(name="find", call_id="c-1", arguments="{}")
    session.emit(
        "function_tools_executed",
        function_calls=[tool],
        function_call_outputs=[SimpleNamespace(call_id="c-1", is_error=True, output="42")],
        created_at=AT,
    )
    failed = SimpleNamespace(type="tts_error", recoverable=False, error=RuntimeError("why"))
    session.emit("error", error=failed, source=None, created_at=AT)
    handle.done()
    turn = await call.turn()
    session.emit("close", reason="error", error=failed, created_at=AT + 9)
    assert (turn["user_text"], turn["agent_text"]) == ("a question", "one two")
    assert call.of("user.transcription")[0]["text"] == "a question"
    assert call.of("tool.executed")[0]["calls"][0] == {
        "name": "find",
        "call_id": "c-1",
        "is_error": True,
        "arguments": "{}",
        "output": "42",
    }
    assert call.of("session.error")[0]["message"] == call.events[-1]["error"] == "why"
    call.check()


async def test_other_events(call: Call) -> None:
    """Handoffs, false interruptions and judged overlaps are passed on."""
    session = call.session
    for old, new in ((None, "shop"), ("shop", "billing")):
        handoff = SimpleNamespace(type="agent_handoff", old_agent_id=old, new_agent_id=new)
        session.emit("conversation_item_added", item=handoff, created_at=AT)
    session.emit("agent_false_interruption", resumed=True, created_at=AT)
    overlap = {"is_interruption": False, "probability": 0.1, "num_requests": 2, "detection_delay": 0.2, "overlap_started_at": AT - 1}
    session.emit("overlapping_speech", agent_ended=False, created_at=AT, **overlap)
    session.emit("overlapping_speech", agent_ended=True, created_at=AT, **overlap)
    session.measure("interruption_metrics", AT, total_duration=0.05, num_interruptions=1, num_backchannels=2, num_requests=3)
    ask(session, "sp-1").done()
    turn = await call.turn()
    assert [event["new_agent"] for event in call.of("agent.handoff")] == ["billing"]
    assert call.of("agent.false_interruption")[0]["resumed"] is True
    assert [event["detection_delay_ms"] for event in call.of("user.backchannel")] == [200]
    assert (turn["num_interruptions"], turn["num_backchannels"], turn["interruption_total_duration_ms"]) == (1, 2, 50)
    call.check()


@pytest.mark.parametrize("event", attachment.EVENTS)
async def test_nothing_is_raised(call: Call, event: str) -> None:
    """An event that is not what it is expected to be costs that event."""
    session = call.session
    for fields in ({}, {"metrics": None}, {"item": None}, {"created_at": "now"}, {"created_at": AT, "old_state": None}):
        session.emit(event, **fields)
    assert session.raised == []


async def test_a_session_is_bounded(call: Call) -> None:
    """Speeches that never end, models without number and requests of an endless turn are followed up to a limit."""
    handle = ask(call.session, "sp-0")
    for number in range(turns.MOST_TURNS + 10):
        call.session.speech(f"sp-{number + 1}", AT)
    handle.done()
    assert call.of("turn.metrics") == []
    requests = Requests(LLM)
    for _ in range(MOST_REQUESTS + 10):
        requests.over(SimpleNamespace(ttft=0.1, completion_tokens=1))
    assert len(requests.made) == MOST_REQUESTS
    assert requests.fields(requests.first())["llm_completion_tokens"] == MOST_REQUESTS + 10


@pytest.mark.parametrize("session", [None, object(), "a session"])
def test_what_is_no_session(session: Any) -> None:
    """What cannot be listened to is refused at once, as is a URL that is none."""
    with pytest.raises(TypeError, match="AgentSession"):
        attach(session, "ws://127.0.0.1:1/ws")
    with pytest.raises(ValueError, match="ws://"):
        attach(AgentSession(), "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (0.25, "seconds", 250),
        (0.0, "seconds", 0),
        (0.0, "measured seconds", None),
        (-1, "seconds", None),
        (float("nan"), "amount", None),
        (float("inf"), "amount", None),
        ("x", "seconds", None),
        (1, "flag", True),
        ("", "text", None),
        (1e12, "clock", None),
        (7, "text", None),
    ],
)
def test_values(value: Any, kind: mapping.Kind, expected: Any) -> None:
    """Seconds become milliseconds, and what says nothing becomes nothing."""
    assert mapping.CONVERSIONS[kind](value) == expected


@pytest.mark.external
async def test_in_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job names the session and the agent, and its process does not end before the last events were sent."""
    due: list[Any] = []
    job = SimpleNamespace(job=SimpleNamespace(id="AJ_1", agent_name="support"), add_shutdown_callback=due.append)
    monkeypatch.setattr(attachment, "_job", lambda: job)
    sent: list[tuple[str, Any]] = []
    monkeypatch.setattr(Tap, "send_made", lambda _, name, make: sent.extend((name, event) for event in make()))
    monkeypatch.setattr(Tap, "open", lambda _: None)
    flushed: list[float] = []
    monkeypatch.setattr(Tap, "flush", lambda _, timeout: flushed.append(timeout))
    session = AgentSession()
    attach(session, "ws://127.0.0.1:1/ws")
    session.agent_becomes("listening", AT)
    ending = asyncio.create_task(due[0]())
    session.emit("close", reason="job_shutdown", error=None, created_at=AT)
    await ending
    name, started = sent[0]
    assert name.startswith("AJ_1-")
    assert (started["agent_session_id"], started["agent_id"]) == (name, "support")
    assert len(flushed) == 1


def test_the_page_names_every_field() -> None:
    """docs/livekit.md names every field of the mapping, theirs and ours."""
    page = Path(ROOT / "docs/livekit.md").read_text(encoding="utf-8")
    tables = [table for table in vars(mapping).values() if isinstance(table, tuple) and table and isinstance(table[0], mapping.Row)]
    rows = {row for table in tables if table is not mapping.OVERLAP for row in table}
    assert len(rows) > 60
    assert [row for row in rows if f"`{row.ours}`" not in page] == []
    assert [row for row in rows if "." not in row.theirs and row.theirs not in page] == []
