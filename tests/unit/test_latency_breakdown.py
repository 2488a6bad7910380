"""Where the time of a turn goes: components, the rest, slow turns, and callers who got no answer."""

from typing import Any

import pytest

from tests.support.core import Connection, Core

TURNS = "agentstack_caller_turns_total"
COMPONENT = "agentstack_turn_component_seconds_total"
NEGATIVE = "agentstack_turn_component_negative_rest_seconds_total"
SLOW = "agentstack_slow_turns_total"
CASCADE = {
    "stt_delay_ms": 200,
    "turn_decision_ms": 300,
    "turn_completed_callback_ms": 10,
    "llm_ttft_ms": 400,
    "tts_ttfb_ms": 150,
    "user_perceived_ms": 1000,
    "pipeline": "stt-llm-tts",
}


@pytest.fixture
def core() -> Core:
    """A core whose slow turns are those above 1.5 s."""
    return Core()


@pytest.fixture
def call(core: Core) -> Connection:
    """A call that has begun."""
    return core.call()


def shares(core: Core) -> dict[str, float]:
    """Seconds by component."""
    return {series.labels[2]: round(float(series.value), 6) for series in core.series(COMPONENT) if isinstance(series.value, float)}


def test_the_wait_is_split(core: Core, call: Connection) -> None:
    """Transcript and decision run side by side, so the longer counts; what no stage accounts for is unexplained."""
    call.turn(1, **CASCADE)
    assert shares(core) == {"endpointing": 0.3, "callback": 0.01, "llm": 0.4, "tts": 0.15, "unexplained": 0.14}
    assert core.value(NEGATIVE) == 0


def test_stages_that_overlap_leave_a_negative_rest(core: Core, call: Connection) -> None:
    """What the stages exceed the wait by is counted apart, so that components less it are what was waited."""
    call.turn(1, **CASCADE | {"user_perceived_ms": 700})
    assert "unexplained" not in shares(core)
    assert core.value(NEGATIVE) == 0.16
    assert core.value(COMPONENT) - core.value(NEGATIVE) == pytest.approx(0.7)


def test_a_speech_to_speech_turn(core: Core, call: Connection) -> None:
    """A realtime model takes the place of LLM and TTS."""
    call.turn(1, pipeline="s2s", turn_decision_ms=250, realtime_ttft_ms=500, user_perceived_ms=800)
    assert shares(core) == {"endpointing": 0.25, "realtime": 0.5, "unexplained": 0.05}


def test_the_earlier_name_of_the_callback(core: Core, call: Connection) -> None:
    """Servers of the second generation name the callback otherwise."""
    call.turn(1, on_user_turn_completed_ms=100, user_perceived_ms=100)
    assert shares(core) == {"callback": 0.1}


def test_late_metrics_are_split_whole(core: Core, call: Connection) -> None:
    """A turn counted without its metrics counts once, and adds all its components when they come after all."""
    call.completed(1, llm_ttft_s=0.4, tts_ttfb_s=0.15)
    core.let_pass(11)
    call.turn(1, **CASCADE)
    assert shares(core)["llm"] == 0.4
    assert core.value(TURNS) == core.value(TURNS, outcome="answered") == 1


@pytest.mark.parametrize(
    ("fields", "component"),
    [
        ({"llm_ttft_ms": 1500}, "llm"),
        ({"tts_ttfb_ms": 1500}, "tts"),
        ({"stt_delay_ms": 1500, "turn_decision_ms": 100}, "endpointing"),
        ({"turn_completed_callback_ms": 1500}, "callback"),
        ({"realtime_ttft_ms": 1500}, "realtime"),
        ({"llm_ttft_ms": 200}, "unexplained"),
    ],
)
def test_a_slow_turn_names_its_bottleneck(core: Core, call: Connection, fields: dict[str, Any], component: str) -> None:
    """The component with the largest part of the wait is what made the turn slow."""
    call.turn(1, user_perceived_ms=2000, **fields)
    assert core.value(SLOW) == core.value(SLOW, component=component) == 1


def test_a_turn_at_the_threshold_is_not_slow(core: Core, call: Connection) -> None:
    """Slow is what lies above the threshold."""
    call.turn(1, user_perceived_ms=1500, llm_ttft_ms=1400)
    assert core.value(SLOW) == 0
    call.turn(2, user_perceived_ms=1501, llm_ttft_ms=1400)
    assert core.value(SLOW) == 1


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"user_perceived_ms": 900}, "answered"),
        ({"user_perceived_ms": 900, "interrupted": True}, "answered"),
        ({"tts_ttfb_ms": 90}, "answered"),
        ({"realtime_ttft_ms": 90}, "answered"),
        ({"agent_started_speaking_at": "2026-05-04T09:00:00Z"}, "answered"),
        ({"user_perceived_ms": None, "llm_ttft_ms": 400}, "unanswered"),
        ({"user_perceived_ms": -1, "error_source": "llm"}, "unanswered"),
    ],
)
def test_callers_who_got_no_answer(core: Core, call: Connection, fields: dict[str, Any], outcome: str) -> None:
    """A caller is answered when any sign of the agent's audio is there; a model that only thought is none."""
    call.turn(1, **fields)
    assert core.value(TURNS) == core.value(TURNS, outcome=outcome) == 1


@pytest.mark.parametrize(("fields", "outcome"), [({"tts_ttfb_s": 0.1}, "answered"), ({"llm_ttft_s": 0.1}, "unanswered")])
def test_turns_without_metrics_count_too(core: Core, call: Connection, fields: dict[str, Any], outcome: str) -> None:
    """turn.completed says whether the caller was answered when no turn.metrics comes."""
    call.completed(1, **fields)
    core.let_pass(11)
    assert core.value(TURNS) == core.value(TURNS, outcome=outcome) == 1


def test_a_greeting_is_no_caller_turn(core: Core, call: Connection) -> None:
    """Nobody waits for a turn the agent begins."""
    call.turn(1, agent_first=True, user_perceived_ms=3000, tts_ttfb_ms=100)
    call.completed(2, agent_first=True)
    core.let_pass(11)
    assert core.value(TURNS) == core.value(COMPONENT) == core.value(SLOW) == 0


def test_machines_do_not_wait(core: Core, call: Connection) -> None:
    """Turns of a call that a machine answered are kept apart and have no components."""
    call.send("voicemail.detected", result="machine")
    call.turn(1, **CASCADE | {"user_perceived_ms": 5000})
    assert core.value(TURNS, answered_by="machine") == 1
    assert core.value(COMPONENT) == core.value(SLOW) == 0


def test_a_repeated_turn_metrics_adds_nothing(core: Core, call: Connection) -> None:
    """A duplicate is no second wait."""
    for _ in range(2):
        call.turn(1, **CASCADE)
    assert core.value(COMPONENT) == pytest.approx(1.0)
