"""What happens in a Pipecat pipeline → the events of our wire, by a clock of the test's. Pipecat itself is in tests/sockets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agentstack_tap.pipecat.contributions import contributions
from agentstack_tap.pipecat.conversation import STOPS_WITHIN, Conversation
from agentstack_tap.pipecat.endings import Ending, ending_of
from agentstack_tap.pipecat.readings import READINGS, UNUSED, readings_of
from agentstack_tap.pipecat.services import Service, service_named, service_of
from agentstack_tap.pipecat.turns import LATE_NUMBERS, LONGEST_WORK, SILENCE_ENDS_TURN
from agentstack_tap.pipecat.usage import MOST_MODELS
from exporter.protocol.decoder import PartialEvent, decode

START = 1_777_885_200.0
STT = Service("DeepgramSTTService#0", "stt", "deepgram")
LLM = Service("OpenAILLMService#0", "llm", "openai")
TTS = Service("CartesiaTTSService#0", "tts", "cartesia")


@dataclass
class Timer:
    due: float
    call: Callable[[float], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Call:
    """A conversation whose time the test makes pass. ``now`` is in seconds since its start."""

    texts: bool = False
    now: float = 0.0
    events: list[dict[str, Any]] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.told = Conversation("s-1", "support", lambda make: self.events.extend(make()), self._later, texts=self.texts)
        self.told.begin(START)

    def _later(self, seconds: float, call: Callable[[float], None]) -> Timer:
        timer = Timer(START + self.now + seconds, call)
        self.timers.append(timer)
        return timer

    def at(self, seconds: float) -> float:
        """Let time pass until then; what is due is done. Returns the time, in unix seconds."""
        while due := [timer for timer in self.timers if not timer.cancelled and timer.due <= START + seconds]:
            timer = min(due, key=lambda each: each.due)
            self.timers.remove(timer)
            self.now = timer.due - START
            timer.call(timer.due)
        self.now = seconds
        return START + seconds

    def user_speaks(self, start: float, end: float, *, decided: float = 0.5, stt: float = 0.3) -> None:
        """The user speaks, which is recognised, and the pipeline judges that it is the agent's turn."""
        self.told.user_speech_started(self.at(start))
        self.told.user_turn_started(self.at(start + 0.2))
        self.told.interrupted(self.at(start + 0.2))
        self.told.user_speech_stopped(START + end)
        self.told.transcript(self.at(end + stt), "hello", "en", final=True)
        self.told.work.measured(self.at(end + stt), "stt", STT, "nova-3", {"first_output": stt})
        self.told.user_turn_stopped(self.at(end + decided))

    def model_answers(self, start: float, *, first: float = 0.4, whole: float = 0.6, speaks: bool = True) -> None:
        """The language model answers, with text or with a function call."""
        self.told.work_started(self.at(start), "llm", LLM)
        self.told.work.measured(self.at(start + first), "llm", LLM, "gpt-4o", {"first_output": first})
        if speaks:
            self.told.work.answered(LLM)
        used = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "cache_read_tokens": 60}
        self.told.work.measured(self.at(start + whole), "llm", LLM, "gpt-4o", used)
        self.told.work.measured(self.at(start + whole), "llm", LLM, "gpt-4o", {"duration": whole})
        self.told.work.ended(LLM)

    def voice_speaks(self, start: float, *, first: float = 0.2, audio: float = 1.5) -> None:
        """The voice makes audio, which begins to play at once."""
        self.told.work.measured(self.at(start), "tts", TTS, "sonic", {"characters": 30})
        self.told.work_started(self.at(start), "tts", TTS)
        self.told.work.measured(self.at(start + first), "tts", TTS, "sonic", {"first_output": first})
        self.told.work.spoke("tts", TTS, audio)
        self.told.agent_started(self.at(start + first))

    def agent_falls_silent(self, at: float) -> None:
        """The agent has said everything."""
        self.told.work.ended(TTS)
        self.told.agent_stopped(self.at(at))

    def ends(self, at: float, reason: str = "completed") -> None:
        self.told.ends(Ending(reason))
        self.told.finish(self.at(at))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of that type, all of which the exporter has to understand to the last field."""
        for event in self.events:
            assert not isinstance(decode(msgspec.json.encode(event).decode()), PartialEvent), event
        return [event for event in self.events if event["type"] == kind]

    def turns(self) -> list[dict[str, Any]]:
        return self.of("turn.metrics")


def test_a_turn() -> None:
    """A turn has the waits, amounts and times of what happened in it, in our units and by our definitions."""
    call = Call()
    call.user_speaks(1.0, 2.0)
    call.model_answers(2.5)
    call.voice_speaks(3.0)
    part = SimpleNamespace(key="llm_inference", owner=LLM.label, owner_kind="service", start_time=START + 2.5, duration_secs=0.5)
    call.told.waited(partial(contributions, (part,)))
    call.agent_falls_silent(4.7)
    call.at(4.7 + SILENCE_ENDS_TURN)
    (turn,) = call.turns()
    assert call.of("turn.contribution") == [
        {
            "type": "turn.contribution",
            "contribution": "llm_inference",
            "owner": "OpenAILLMService#0",
            "owner_kind": "service",
            "duration_ms": 500.0,
            "started_at": "2026-05-04T09:00:02.500+00:00",
        }
    ]
    assert turn == {
        "type": "turn.metrics",
        "turn_number": 1,
        "interrupted": False,
        "num_interruptions": 0,
        "agent_first": False,
        "pipeline": "stt-llm-tts",
        "user_perceived_ms": 1200.0,
        "stt_delay_ms": 300.0,
        "stt_timestamp": START + 2.3,
        "stt_label": "DeepgramSTTService#0",
        "stt_provider": "deepgram",
        "stt_model": "nova-3",
        "turn_decision_ms": 500.0,
        "llm_label": "OpenAILLMService#0",
        "llm_provider": "openai",
        "llm_model": "gpt-4o",
        "llm_ttft_ms": 400.0,
        "llm_duration_ms": 600.0,
        "llm_cancelled": False,
        "llm_timestamp": pytest.approx(START + 3.1),
        "llm_prompt_tokens": 100,
        "llm_completion_tokens": 20,
        "llm_total_tokens": 120,
        "llm_cache_read_tokens": 60,
        "tts_label": "CartesiaTTSService#0",
        "tts_provider": "cartesia",
        "tts_model": "sonic",
        "tts_ttfb_ms": 200.0,
        "tts_audio_duration_ms": 1500.0,
        "tts_cancelled": False,
        "tts_characters": 30,
        "tts_timestamp": pytest.approx(START + 3.2),
        "user_started_speaking_at": "2026-05-04T09:00:01.000+00:00",
        "user_stopped_speaking_at": "2026-05-04T09:00:02.000+00:00",
        "agent_started_speaking_at": "2026-05-04T09:00:03.200+00:00",
        "agent_stopped_speaking_at": "2026-05-04T09:00:04.700+00:00",
    }
    assert call.of("turn.completed") == [{"type": "turn.completed", "turn_number": 1, "turn_id": "1", "agent_first": False}]


def test_a_session() -> None:
    """A session begins and ends with its pipeline, for the pipeline's reason, and only once."""
    call = Call()
    call.told.ends(Ending("idle_timeout"))
    call.ends(12.5, "cancelled")
    call.told.finish(START + 20)
    call.told.begin(START + 21)
    assert call.events == [
        {"type": "session.started", "agent_session_id": "s-1", "agent_id": "support"},
        {
            "type": "session.ended",
            "duration_seconds": 12.5,
            "turn_count": 0,
            "reason": "idle_timeout",
            "started_at": "2026-05-04T09:00:00.000+00:00",
            "ended_at": "2026-05-04T09:00:12.500+00:00",
        },
    ]
    assert call.of("session.ended")


def test_a_greeting() -> None:
    """Nobody waits for a turn that the agent begins."""
    call = Call()
    call.voice_speaks(0.5)
    call.agent_falls_silent(2.2)
    call.ends(3.0)
    (turn,) = call.turns()
    assert turn["agent_first"]
    assert "user_perceived_ms" not in turn
    assert turn["tts_ttfb_ms"] == 200.0


def test_a_barge_in() -> None:
    """Of an interrupted turn the numbers that come a moment later count, except times to an output that never came."""
    call = Call()
    call.user_speaks(1.0, 2.0)
    call.model_answers(2.5)
    call.voice_speaks(3.0)
    call.told.work_started(call.at(4.0), "llm", LLM)
    call.told.user_speech_started(call.at(4.1))
    call.told.user_turn_started(call.at(4.3))
    call.told.interrupted(call.at(4.3))
    call.told.agent_stopped(call.at(4.35))
    used = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    call.told.work.measured(call.at(4.36), "tts", TTS, "sonic", {"first_output": 0.1})
    call.told.work.measured(call.at(4.4), "llm", LLM, "gpt-4o", used)
    call.at(4.3 + LATE_NUMBERS)
    (turn,) = call.turns()
    assert (turn["interrupted"], turn["num_interruptions"], turn["user_perceived_ms"]) == (True, 1, 1200.0)
    assert (turn["llm_cancelled"], turn["tts_cancelled"]) == (True, True)
    assert (turn["tts_ttfb_ms"], turn["llm_prompt_tokens"]) == (200.0, 105)
    (interrupted,) = call.of("agent.speech_interrupted")
    assert interrupted == {
        "type": "agent.speech_interrupted",
        "turn_id": "1",
        "playback_position_s": 1.15,
        "timestamp": "2026-05-04T09:00:04.350+00:00",
    }
    assert call.of("agent.speech_completed") == []


def test_a_report_that_is_written_later() -> None:
    """What happens after a turn was reported is no part of it, although its events are made later, in another thread."""
    call = Call()
    made: list[Any] = []
    call.told = Conversation("s-1", "support", made.append, call._later)
    call.told.begin(START)
    call.user_speaks(1.0, 2.0)
    call.model_answers(2.5)
    call.voice_speaks(3.0)
    call.told.work_started(call.at(4.0), "llm", LLM)
    call.told.user_speech_started(call.at(4.1))
    call.told.user_turn_started(call.at(4.3))
    call.at(4.3 + LATE_NUMBERS)
    call.told.interrupted(call.at(4.6))
    call.told.agent_stopped(call.at(4.7))
    (turn,) = (event for make in made for event in make() if event["type"] == "turn.metrics")
    assert (turn["interrupted"], turn["llm_cancelled"], "agent_stopped_speaking_at" in turn) == (False, False, False)


def test_the_order_of_events() -> None:
    """A turn is reported before anything of the next one, but speech into the agent's own comes first: its reaction is measured."""
    call = Call()
    call.voice_speaks(0.5)
    call.agent_falls_silent(1.5)
    call.told.user_speech_started(call.at(1.6))
    call.told.user_speech_stopped(call.at(1.7))
    call.user_speaks(2.0, 3.0)
    call.voice_speaks(4.0)
    call.told.user_speech_started(call.at(5.0))
    call.told.user_turn_started(call.at(5.2))
    call.told.interrupted(call.at(5.2))
    call.told.agent_stopped(call.at(5.21))
    call.told.user_speech_stopped(call.at(6.0))
    call.ends(9.0)
    kinds = {"turn.metrics", "user.speech_started", "user.speech_stopped", "agent.speech_interrupted"}
    assert [event["type"].rpartition("_")[2] for event in call.events if event["type"] in kinds] == [
        *("started", "stopped", "turn.metrics", "started", "stopped"),
        *("started", "interrupted", "turn.metrics", "stopped", "turn.metrics"),
    ]


def test_a_time_to_nothing() -> None:
    """A service that is interrupted before its first output has no time to first output."""
    call = Call()
    call.told.user_speech_started(call.at(1.0))
    call.told.user_turn_started(call.at(1.2))
    call.told.user_speech_stopped(START + 2.0)
    call.told.user_turn_stopped(call.at(2.5))
    call.told.work_started(call.at(2.5), "llm", LLM)
    call.told.user_speech_started(call.at(2.6))
    call.told.user_turn_started(call.at(2.7))
    call.told.interrupted(call.at(2.7))
    call.told.work.measured(call.at(2.71), "llm", LLM, "gpt-4o", {"first_output": 0.21})
    call.told.work.measured(call.at(2.71), "stt", STT, "nova-3", {"first_output": 0.71})
    call.ends(3.0)
    (turn,) = call.turns()
    assert not {"llm_ttft_ms", "stt_delay_ms"} & turn.keys()
    assert turn["llm_cancelled"]


def test_the_user_goes_on() -> None:
    """A user who goes on before the answer is in the same turn, and waits from the end of what was said last."""
    call = Call()
    call.user_speaks(1.0, 2.0)
    call.told.work_started(call.at(2.5), "llm", LLM)
    call.user_speaks(2.6, 4.0, decided=0.7)
    call.model_answers(4.7, first=0.3)
    call.voice_speaks(5.1)
    call.agent_falls_silent(6.0)
    call.ends(7.0)
    (turn,) = call.turns()
    assert (turn["user_perceived_ms"], turn["turn_decision_ms"], turn["llm_ttft_ms"]) == (1300.0, 700.0, 300.0)
    assert turn["user_started_speaking_at"] == "2026-05-04T09:00:01.000+00:00"
    assert (turn["interrupted"], turn["llm_cancelled"]) == (False, False)
    assert call.of("agent.speech_interrupted") == []


def test_the_agent_answers_too_early() -> None:
    """Nobody has waited for an agent that speaks while the user does, or before the time at which the user is said to have stopped."""
    for stopped in (None, 4.5):
        call = Call()
        call.user_speaks(1.0, 2.0)
        call.told.user_speech_started(call.at(2.6))
        if stopped:
            call.told.user_turn_started(call.at(2.8))
            call.told.user_speech_stopped(START + stopped)
        call.voice_speaks(4.0)
        call.ends(6.0)
        (turn,) = call.turns()
        assert "user_perceived_ms" not in turn
        assert "turn_decision_ms" not in turn


def test_synthesis_sentence_by_sentence() -> None:
    """Of several sentences the first one's time to first audio counts, and all of the time that they took."""
    call = Call()
    call.voice_speaks(1.0)
    for at, numbers in ((1.3, {"duration": 0.3}), (1.6, {"first_output": 0.25}), (1.9, {"duration": 0.4})):
        call.told.work.measured(call.at(at), "tts", TTS, "sonic", numbers)
    call.ends(3.0)
    (turn,) = call.turns()
    assert (turn["tts_ttfb_ms"], turn["tts_duration_ms"]) == (200.0, 700.0)


def test_the_next_turn_begins_at_once() -> None:
    """What a voice is asked for after the user took the turn belongs to the new one, though the old one still waits for numbers."""
    call = Call()
    call.voice_speaks(0.5)
    call.told.user_turn_started(call.at(1.0))
    call.told.interrupted(call.at(1.0))
    call.told.work.measured(call.at(1.1), "tts", TTS, "sonic", {"characters": 7})
    call.told.agent_stopped(call.at(1.1))
    call.ends(2.0)
    assert [turn["tts_characters"] for turn in call.turns()] == [30, 7]


def test_a_function_call() -> None:
    """With a function call the model is asked twice: the times are of the request that answered, the tokens of both."""
    call = Call()
    call.user_speaks(1.0, 2.0)
    call.model_answers(2.5, first=0.4, speaks=False)
    call.told.tools.started("c-1")
    call.told.tools.ended(call.at(3.4), "c-1", "find", failed=False, arguments={"a": 1}, output="secret")
    call.model_answers(3.4, first=0.25)
    call.voice_speaks(4.0)
    call.agent_falls_silent(5.0)
    call.ends(6.0)
    (turn,) = call.turns()
    assert (turn["llm_ttft_ms"], turn["llm_prompt_tokens"], turn["llm_completion_tokens"]) == (250.0, 200, 40)
    (executed,) = call.of("tool.executed")
    assert executed["calls"] == [{"name": "find", "call_id": "c-1", "is_error": False}]


def test_silence_while_something_is_under_way() -> None:
    """The agent's silence ends a turn only when nothing is under way, and in the end also when the end of the work was missed."""
    call = Call()
    call.user_speaks(1.0, 2.0)
    call.voice_speaks(3.0)
    call.told.tools.started("c-1")
    call.agent_falls_silent(4.0)
    call.at(4.0 + SILENCE_ENDS_TURN + 1)
    assert call.turns() == []
    call.voice_speaks(8.0)
    call.agent_falls_silent(9.0)
    call.at(9.0 + LONGEST_WORK + SILENCE_ENDS_TURN)
    (turn,) = call.turns()
    assert (turn["user_perceived_ms"], turn["tts_characters"]) == (1200.0, 60)


def test_who_hangs_up() -> None:
    """A user who hangs up interrupts nobody; one who got no answer has a turn without a wait."""
    call = Call()
    call.user_speaks(1.0, 2.0)
    call.voice_speaks(3.0)
    call.told.interrupted(call.at(3.5))
    call.ends(3.6, "cancelled")
    (turn,) = call.turns()
    assert (turn["interrupted"], turn["agent_stopped_speaking_at"]) == (False, "2026-05-04T09:00:03.600+00:00")
    silent = Call()
    silent.user_speaks(1.0, 2.0)
    silent.ends(9.0, "cancelled")
    (turn,) = silent.turns()
    assert "user_perceived_ms" not in turn
    assert "agent_started_speaking_at" not in turn


def test_speech_that_is_not_to_be_interrupted() -> None:
    """An agent who talks on although the user takes the turn was not interrupted; nor was one that the app silenced."""
    call = Call()
    call.voice_speaks(0.5)
    call.told.user_turn_started(call.at(1.0))
    call.told.interrupted(call.at(1.0))
    call.agent_falls_silent(1.5 + STOPS_WITHIN)
    assert [call.of("agent.speech_interrupted"), len(call.of("agent.speech_completed"))] == [[], 1]
    silenced = Call()
    silenced.voice_speaks(0.5)
    silenced.told.interrupted(silenced.at(1.0))
    silenced.agent_falls_silent(1.01)
    assert [silenced.of("agent.speech_interrupted"), silenced.of("agent.speech_completed")] == [[], []]


def test_without_voice_activity_detection() -> None:
    """Where nobody tells when the user fell silent, the waits that begin there are absent."""
    call = Call()
    call.told.user_turn_started(call.at(1.0))
    call.told.user_turn_stopped(call.at(2.0))
    call.voice_speaks(3.0)
    call.ends(4.0)
    (turn,) = call.turns()
    assert not {"user_perceived_ms", "stt_delay_ms", "turn_decision_ms", "user_stopped_speaking_at"} & turn.keys()
    assert [event["new_state"] for event in call.of("user.state_changed")] == ["speaking", "listening"]


def test_speech_to_speech() -> None:
    """A language model that makes audio is a speech-to-speech model, whose numbers have their own names."""
    call = Call()
    call.user_speaks(1.0, 2.0)
    call.told.work_started(call.at(2.5), "llm", LLM)
    call.told.work.measured(call.at(2.8), "llm", LLM, "gpt-realtime", {"first_output": 0.3})
    call.told.work.spoke("llm", LLM, 0.5)
    call.told.agent_started(call.at(2.8))
    used = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "input_audio_tokens": 7, "output_audio_tokens": 3}
    call.told.work.measured(call.at(2.9), "llm", LLM, "gpt-realtime", used)
    call.ends(4.0)
    (turn,) = call.turns()
    assert (turn["pipeline"], turn["realtime_ttft_ms"], turn["realtime_model"]) == ("s2s", 300.0, "gpt-realtime")
    assert (turn["realtime_input_tokens"], turn["realtime_input_audio_tokens"], turn["realtime_output_audio_tokens"]) == (9, 7, 3)
    assert not any(name.startswith("llm_") for name in turn)


def test_usage_is_cumulative() -> None:
    """What was used is told after each turn and at the end, as totals, and only if something was used."""
    call = Call()
    for start in (1.0, 11.0):
        call.user_speaks(start, start + 1)
        call.told.work.measured(call.at(start + 1.5), "stt", STT, "nova-3", {"audio": 1.5})
        call.model_answers(start + 1.5)
        call.voice_speaks(start + 2.2)
        call.agent_falls_silent(start + 4)
    call.ends(30.0)
    first, second = call.of("session.usage")
    assert second["models"] == [
        {"type": "stt_usage", "provider": "deepgram", "model": "nova-3", "audio_duration": 3.0},
        {
            "type": "llm_usage",
            "provider": "openai",
            "model": "gpt-4o",
            "input_tokens": 200,
            "output_tokens": 40,
            "input_cached_tokens": 120,
        },
        {"type": "tts_usage", "provider": "cartesia", "model": "sonic", "characters_count": 60},
    ]
    assert first["models"][1]["input_tokens"] == 100


def test_usage_is_bounded() -> None:
    """A session that changes its model all the time does not grow without end."""
    call = Call()
    for number in range(MOST_MODELS + 10):
        call.told.work.measured(START, "llm", LLM, f"model-{number}", {"prompt_tokens": 1})
    call.ends(1.0)
    assert len(call.of("session.usage")[0]["models"]) == MOST_MODELS


def test_prompts_without_their_cached_part() -> None:
    """Where a service reports prompt tokens net of the cache, ours contain the cached ones, as for every other service."""
    call = Call()
    call.user_speaks(1.0, 2.0)
    net = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115, "cache_read_tokens": 80, "cache_creation_tokens": 20}
    call.told.work.measured(call.at(3.0), "llm", LLM, "claude", net)
    call.ends(4.0)
    assert call.turns()[0]["llm_prompt_tokens"] == 110
    assert call.of("session.usage")[0]["models"][0]["input_tokens"] == 110


def test_what_is_said_stays_here() -> None:
    """What is said, passed to functions or stands in errors is sent on request only."""
    for texts in (False, True):
        call = Call(texts=texts)
        call.user_speaks(1.0, 2.0)
        call.told.tools.ended(call.at(3.0), "c-1", "find", failed=True, arguments={"a": 1}, output=None)
        call.told.failed("server", "secret", "llm")
        call.told.ends(Ending("error", "secret"))
        call.told.finish(call.at(4.0))
        (heard,), (turn,), (error,), (ended,) = (
            call.of(kind) for kind in ("user.transcription", "turn.metrics", "session.error", "session.ended")
        )
        assert (heard.get("text"), turn.get("user_text")) == (("hello", "hello") if texts else (None, None))
        assert (error.get("message"), ended.get("error")) == (("secret", "secret") if texts else (None, None))
        assert (error["code"], turn["error_source"]) == ("server", "llm")
        assert call.of("tool.executed")[0]["calls"][0].get("arguments") == ("{'a': 1}" if texts else None)


def test_a_judged_end_of_turn() -> None:
    """The confidence of the model that judged the turn complete is told; that of a turn it held to go on is not."""
    call = Call()
    call.told.user_turn_started(call.at(1.0))
    call.told.turn_judged(complete=False, probability=0.2)
    call.told.turn_judged(complete=True, probability=0.9)
    call.told.user_turn_stopped(call.at(2.0))
    call.ends(3.0)
    (completed,) = call.of("user.turn_completed")
    assert (completed["turn_method"], completed["turn_probability"], completed["duration_ms"]) == ("eou_model", 0.9, 1000.0)
    assert call.turns()[0]["turn_probability"] == 0.9


@pytest.mark.parametrize(
    ("frame", "reason", "ending"),
    [
        ("EndFrame", None, Ending("completed")),
        ("StopFrame", None, Ending("pipeline_stopped")),
        ("CancelFrame", None, Ending("cancelled")),
        ("CancelFrame", "idle timeout", Ending("idle_timeout")),
        ("CancelFrame", "fatal error: no key", Ending("error", "fatal error: no key")),
        ("CancelFrame", "OpenAILLMService#0 can no longer do its job", Ending("error", "OpenAILLMService#0 can no longer do its job")),
        ("EndFrame", "customer_hung_up", Ending("customer_hung_up")),
        ("EndFrame", "order 4711 of +14155550100", Ending("completed")),
        ("EndFrame", {"code": 7}, Ending("completed")),
    ],
)
def test_why_a_pipeline_ended(frame: str, reason: Any, ending: Ending) -> None:
    """The reason is that of the app if it is fit for a label, else what Pipecat's last frame says."""
    assert ending_of(frame, reason) == ending


class TTFBMetricsData:
    value = 0.25


class TurnMetricsData:
    is_complete = True
    probability = 0.75
    e2e_processing_time_ms = 12.0


class SmartTurnMetricsData(TurnMetricsData):
    """A subclass of Pipecat's."""


def test_readings() -> None:
    """A number is read by the row of its class or its base class; what has no row, or is no number, is left alone."""
    assert readings_of(TTFBMetricsData()) == {"first_output": 0.25}
    assert readings_of(SmartTurnMetricsData()) == {"turn_complete": True, "turn_probability": 0.75}
    assert readings_of(object()) == {}
    assert not {reading.of for reading in READINGS} & UNUSED.keys()
    assert all(reading.source for reading in READINGS)


def test_services() -> None:
    """A service's kind is that of its base class, its provider the package it comes from, or else the name of its class."""

    class LLMService:
        name = "OpenAILLMService#0"

    theirs = type("OpenAILLMService", (LLMService,), {"__module__": "pipecat.services.openai.llm"})
    own = type("MyOwnLLMService", (LLMService,), {"__module__": "app"})
    assert service_of(theirs()) == Service("OpenAILLMService#0", "llm", "openai")
    assert service_of(type("Tuned", (theirs,), {"__module__": "app"})()).provider == "openai"
    assert service_of(own()).provider == "myown"
    assert service_of(type("Gate", (), {"name": "Gate#0"})()) == Service("Gate#0", None, None)
    assert service_named("AcmeTTSService#3") == Service("AcmeTTSService#3", "tts", "acme")
    assert service_named("Gate#0").kind is None
