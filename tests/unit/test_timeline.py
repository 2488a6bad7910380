"""When the stages of a turn happened."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exporter.events.turn_metrics import TurnMetrics
from exporter.sessions.clock import EARLIEST, LATEST, PlatformClock, nanoseconds
from exporter.tracing.timeline import (
    AGENT_SPEECH,
    CHAT,
    REALTIME,
    SPEECH_TO_TEXT,
    TEXT_TO_SPEECH,
    TURN_DETECTION,
    USER_SPEECH,
    Timeline,
    lay_out,
)

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
AT = START.timestamp()


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def times(window: tuple[int, int] = (EARLIEST, LATEST), **fields: Any) -> Timeline:
    return lay_out(TurnMetrics(**fields), window)


def start_end(found: Timeline, stage: int, since: float = AT) -> tuple[float, float]:
    """Start and end in milliseconds since the call began."""
    began = int(since) * 10**9
    return (found.starts[stage] - began) / 1e6, (found.ends[stage] - began) / 1e6


def test_the_cascade_hangs_on_the_end_of_speech() -> None:
    """Transcription and turn detection begin at the end of speech, the LLM after both and the callback."""
    found = times(
        user_started_speaking_at=later(1), user_stopped_speaking_at=later(3), stt_delay_ms=200.0, turn_decision_ms=500.0,
        turn_completed_callback_ms=10.0, llm_ttft_ms=300.0, llm_duration_ms=900.0, tts_ttfb_ms=150.0, tts_duration_ms=700.0,
        user_perceived_ms=1100.0, tts_audio_duration_ms=2000.0,
    )  # fmt: skip
    assert not found.estimated
    assert start_end(found, USER_SPEECH) == (1000, 3000)
    assert start_end(found, SPEECH_TO_TEXT) == (3000, 3200)
    assert start_end(found, TURN_DETECTION) == (3000, 3500)
    assert start_end(found, CHAT) == (3510, 4410)
    assert start_end(found, TEXT_TO_SPEECH) == (3810, 4510)
    assert start_end(found, AGENT_SPEECH) == (4100, 6100)


def test_the_second_generation_decides_after_the_transcript() -> None:
    """With fields of the second generation, the delays follow each other instead of overlapping."""
    found = times(
        user_stopped_speaking_at=later(3), stt_delay_ms=200.0, turn_decision_ms=300.0, llm_ttft_ms=100.0, tts_pipeline_ms=50.0
    )
    assert start_end(found, TURN_DETECTION) == (3200, 3500)
    assert start_end(found, CHAT) == (3500, 3600)


def test_a_report_of_a_stage_is_its_end() -> None:
    """A stage with a stamped report ends at the stamp, and has its measured length."""
    found = times(
        user_stopped_speaking_at=later(3), llm_duration_ms=900.0, llm_timestamp=AT + 5, tts_ttfb_ms=100.0, tts_timestamp=AT + 6
    )
    assert start_end(found, CHAT) == (4100, 5000)
    assert start_end(found, TEXT_TO_SPEECH) == (5900, 6000)


def test_a_turn_of_the_agent_hangs_on_its_speech() -> None:
    """Without a user, the model and the synthesis end where the agent begins to speak."""
    found = times(
        agent_first=True, llm_ttft_ms=300.0, tts_ttfb_ms=200.0, agent_started_speaking_at=later(2), agent_stopped_speaking_at=later(4)
    )
    assert start_end(found, CHAT) == (1500, 1800)
    assert start_end(found, TEXT_TO_SPEECH) == (1800, 2000)
    assert start_end(found, AGENT_SPEECH) == (2000, 4000)


def test_speech_to_speech_answers_from_the_end_of_speech() -> None:
    """The realtime model begins at the end of speech, or its first-token delay before the agent speaks."""
    fields: dict[str, Any] = {"realtime_ttft_ms": 300.0, "realtime_duration_ms": 4000.0}
    assert start_end(times(user_stopped_speaking_at=later(3), **fields), REALTIME) == (3000, 7000)
    assert start_end(times(agent_started_speaking_at=later(3), **fields), REALTIME) == (2700, 6700)


@pytest.mark.parametrize(
    "stale",
    [
        {"user_stopped_speaking_at": later(-250)},
        {"user_stopped_speaking_at": later(9)},
        {"user_stopped_speaking_at": later(-90)},
        {"sdk_stopped_speaking_at": AT - 3600},
        {},
    ],
)
def test_a_stale_end_of_speech_is_not_believed(stale: dict[str, Any]) -> None:
    """An end of speech after the answer, or that contradicts the measured wait, is replaced by the measured wait."""
    found = times(agent_started_speaking_at=later(5), user_perceived_ms=1000.0, stt_delay_ms=100.0, **stale)
    assert not found.estimated
    assert start_end(found, SPEECH_TO_TEXT) == (4000, 4100)


def test_stamps_outside_the_session_count_as_missing() -> None:
    """A stamp before the session began or after the metrics were received is not used."""
    window = (nanoseconds(later(0)), nanoseconds(later(10)))
    assert times(window, user_stopped_speaking_at=later(-1)).estimated
    assert times(window, user_stopped_speaking_at=later(11)).estimated
    assert not times(window, user_stopped_speaking_at=later(4)).estimated


def test_old_turns_are_as_good_as_new_ones() -> None:
    """A recording from years ago keeps its times."""
    then = datetime(2019, 1, 1, tzinfo=UTC)
    assert not times(user_stopped_speaking_at=then).estimated


def test_without_stamps_the_turn_ends_at_receipt() -> None:
    """A turn that has only durations ends when its metrics were received."""
    found = times(stt_delay_ms=200.0, turn_decision_ms=300.0, llm_ttft_ms=400.0)
    assert found.estimated
    receipt = nanoseconds(later(60))
    assert found.envelope([SPEECH_TO_TEXT, TURN_DETECTION, CHAT], receipt) == (receipt - 700_000_000, receipt)
    assert start_end(found, CHAT) == (59_600, 60_000)


@pytest.mark.parametrize(
    ("fields", "speech_end"),
    [
        ({"stt_delay_ms": 200.0, "stt_timestamp": AT + 5}, 4800),
        ({"turn_decision_ms": 200.0, "llm_duration_ms": 700.0, "llm_timestamp": AT + 5}, 4100),
        ({"llm_ttft_ms": 100.0, "tts_ttfb_ms": 300.0, "tts_timestamp": AT + 5}, 4600),
    ],
)
def test_any_stage_can_say_when(fields: dict[str, Any], speech_end: float) -> None:
    """One stamp of any stage, with the measured durations, places the whole turn."""
    found = times(**fields)
    assert not found.estimated
    assert start_end(found, TURN_DETECTION)[0] == speech_end


def test_a_reversed_end_of_speech_has_no_length() -> None:
    """A start after its end is not used, neither the user's nor the agent's."""
    found = times(
        user_started_speaking_at=later(4),
        user_stopped_speaking_at=later(3),
        agent_started_speaking_at=later(5),
        agent_stopped_speaking_at=later(1),
    )
    assert start_end(found, USER_SPEECH) == (3000, 3000)
    assert start_end(found, AGENT_SPEECH) == (5000, 5000)


def test_nothing_at_all_is_a_point() -> None:
    """A turn without any stage is at receipt, without length."""
    assert times().envelope([], 5) == (5, 5)


def test_the_clock_learns_the_platforms_distance() -> None:
    """An event without a time is placed by the smallest lag of those with one."""
    clock = PlatformClock()
    assert clock.at(AT) == nanoseconds(START)
    assert clock.event_time(later(0), AT + 100.5) == nanoseconds(START)
    assert clock.event_time(later(1), AT + 101.2) == nanoseconds(later(1))
    assert clock.known
    assert clock.at(AT + 110.2) == nanoseconds(later(10))


@pytest.mark.parametrize("stamp", [later(-7200), later(7200), datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)])
def test_a_stamp_far_off_the_others_is_not_believed(stamp: datetime) -> None:
    """An event whose stamp is hours away from the others gets its time from receipt."""
    clock = PlatformClock()
    clock.event_time(later(0), AT)
    assert clock.event_time(stamp, AT + 5) == nanoseconds(later(5))
    assert clock.at(AT + 6) == nanoseconds(later(6))


def test_the_window_is_the_session() -> None:
    """A stamp may lie from a minute before the first one to a second after receipt."""
    clock = PlatformClock()
    assert clock.window(AT, AT) == (EARLIEST, LATEST)
    clock.event_time(later(0), AT)
    assert clock.window(AT, AT + 30) == (nanoseconds(later(-60)), nanoseconds(later(31)))
