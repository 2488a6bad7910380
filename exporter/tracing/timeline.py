"""When the stages of a turn happened, from its turn.metrics and what is known of the platform's clock.

All times are unix nanoseconds on the platform's clock; :class:`exporter.sessions.clock.PlatformClock` learns how far ours is from it.

A turn hangs on one point, the end of the user's speech. It is the reported one if that is plausible. Otherwise it is worked out from
another time stamp and the measured durations between the two. Without any usable stamp the turn is *estimated*: it ends when its
metrics were received. A stamp need not be near our clock's "now", since recordings are old. A measured duration is never changed.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from operator import attrgetter
from typing import Final

from exporter.events.turn_metrics import TurnMetrics
from exporter.sessions.clock import LATEST, SECOND

USER_SPEECH: Final = 0
SPEECH_TO_TEXT: Final = 1
TURN_DETECTION: Final = 2
CHAT: Final = 3
TEXT_TO_SPEECH: Final = 4
AGENT_SPEECH: Final = 5
REALTIME: Final = 6

_LATEST_SECONDS: Final = LATEST / SECOND
_LONGEST_WAIT: Final = 120 * SECOND
_LONGEST_SPEECH: Final = 3600 * SECOND
_DISAGREEMENT: Final = 5 * SECOND


class Timeline:
    """When each stage of a turn began and ended; index with the constants above.

    A stage without any known time has its place in the order of stages, and no length.
    """

    __slots__ = ("ends", "estimated", "starts")

    def __init__(self, starts: list[int], ends: list[int], *, estimated: bool) -> None:
        self.starts = starts
        self.ends = ends
        self.estimated = estimated

    def envelope(self, present: Iterable[int], receipt: int) -> tuple[int, int]:
        """Start and end of the turn, which covers the stages that are present. An estimated turn is moved to end at ``receipt``."""
        starts, ends = self.starts, self.ends
        start, end = LATEST * 2, 0
        for stage in present:
            start = starts[stage] if starts[stage] < start else start  # noqa: FURB136 - the hot path
            end = ends[stage] if ends[stage] > end else end  # noqa: FURB136 - as above
        if not end:
            return receipt, receipt
        if self.estimated:
            shift = receipt - end
            self.starts = [moment + shift for moment in self.starts]
            self.ends = [moment + shift for moment in self.ends]
            start += shift
            end = receipt
        return start, end


def lay_out(e: TurnMetrics, window: tuple[int, int]) -> Timeline:
    """Find the times of the stages. A stamp that is not within ``window``, an earliest and a latest time, counts as missing."""
    low, high = window
    stt = _ns(e.stt_delay_ms)
    decision = _ns(e.turn_decision_ms)
    # The first generation of servers measures the decision from the end of speech, the second (tts_pipeline_ms) from the transcript.
    until_detection = stt if e.tts_pipeline_ms is not None else 0
    until_chat = max(stt, until_detection + decision) + _ns(e.turn_completed_callback_ms or e.on_user_turn_completed_ms)
    ttft, ttfb, realtime_ttft = _ns(e.llm_ttft_ms), _ns(e.tts_ttfb_ms), _ns(e.realtime_ttft_ms)
    agent = _date(e.agent_started_speaking_at, low, high)
    speech_end = _speech_end(e, low, high, agent, until_chat + ttft + ttfb or realtime_ttft)
    speech_end = speech_end or _speech_end_by_stage(e, low, high, until_chat)
    estimated = not speech_end
    if estimated:
        low, high, agent, speech_end = LATEST, 0, 0, LATEST // 2
    stt_length = stt or _length(speech_end, _unix(e.stt_timestamp, low, high), _LONGEST_WAIT)
    chat_length = _ns(e.llm_duration_ms) or ttft
    tts_length = _ns(e.tts_duration_ms) or ttfb
    chat = _start(_unix(e.llm_timestamp, low, high), chat_length, speech_end) or speech_end + until_chat
    tts = _start(_unix(e.tts_timestamp, low, high), tts_length, speech_end) or chat + ttft
    if not agent:
        agent = _agent_start(e, speech_end, tts + ttfb, speech_end + realtime_ttft)
    agent_length = _length(agent, _date(e.agent_stopped_speaking_at, low, high), _LONGEST_SPEECH) or _ns(e.tts_audio_duration_ms)
    realtime_end = speech_end + (_ns(e.realtime_duration_ms) or realtime_ttft)
    detection = speech_end + until_detection
    starts = [speech_end - _user_speech(e, low, high, speech_end), speech_end, detection, chat, tts, agent, speech_end]
    ends = [
        speech_end, speech_end + stt_length, detection + decision, chat + chat_length, tts + tts_length, agent + agent_length,
        realtime_end,
    ]  # fmt: skip
    return Timeline(starts, ends, estimated=estimated)


def _ns(milliseconds: float | None) -> int:
    """Milliseconds as whole nanoseconds, 0 if there are none."""
    if not milliseconds:
        return 0
    length = milliseconds  # a name of its own, so that timeline.pxd can type it; so is `seconds` below
    return int(length * 1e6)


def _date(stamp: datetime | None, low: int, high: int) -> int:
    """The stamp if it is from ``low`` to ``high``, else 0."""
    return 0 if stamp is None else _unix(stamp.timestamp(), low, high)


def _unix(stamp: float | None, low: int, high: int) -> int:
    """As :func:`_date`, for unix seconds."""
    if stamp is None:
        return 0
    seconds = stamp
    if not 0.0 <= seconds < _LATEST_SECONDS:
        return 0
    found = int(seconds * 1e6 + 0.5) * 1000
    return found if low <= found <= high else 0


def _start(end: int, length: int, speech_end: int) -> int:
    """The start of a stage of that length which reported at its ``end``; 0 if the end is not plausible."""
    return end - length if end and 0 <= end - speech_end <= _LONGEST_SPEECH else 0


def _length(start: int, end: int, longest: int) -> int:
    """The time from ``start`` to the stamp ``end``; 0 if it is not plausible."""
    return end - start if end and 0 <= end - start <= longest else 0


def _agent_start(e: TurnMetrics, speech_end: int, first_audio: int, realtime_output: int) -> int:
    """When the agent began to speak, if no stamp says so."""
    if e.user_perceived_ms is not None:
        return speech_end + _ns(e.user_perceived_ms)
    return first_audio if e.realtime_ttft_ms is None else realtime_output


def _speech_end(e: TurnMetrics, low: int, high: int, agent: int, lead: int) -> int:
    """The end of the user's speech, 0 if unknown. ``agent`` is when the agent began; by its measured parts it did so ``lead`` later."""
    stopped = 0
    if not e.agent_first:
        stopped = _date(e.user_stopped_speaking_at, low, high) or _unix(e.sdk_stopped_speaking_at, low, high)
    if not agent:
        return stopped
    known = e.user_perceived_ms is not None
    perceived = _ns(e.user_perceived_ms)
    waited = agent - stopped
    if 0 <= waited <= _LONGEST_WAIT and (not known or -_DISAGREEMENT <= waited - perceived <= _DISAGREEMENT):
        return stopped
    return agent - (perceived if known else lead)


def _speech_end_by_stage(e: TurnMetrics, low: int, high: int, until_chat: int) -> int:
    """The end of the user's speech from the report of a stage, made at its end; 0 if none is stamped.

    The LLM began ``until_chat`` after the end of speech.
    """
    stt, ttft = _ns(e.stt_delay_ms), _ns(e.llm_ttft_ms)
    end = _unix(e.stt_timestamp, low, high)
    if stt and end:
        return end - stt
    end = _unix(e.llm_timestamp, low, high)
    if end:
        return end - (_ns(e.llm_duration_ms) or ttft) - until_chat
    end = _unix(e.tts_timestamp, low, high)
    return end - _ns(e.tts_duration_ms or e.tts_ttfb_ms) - ttft - until_chat if end else 0


def _user_speech(e: TurnMetrics, low: int, high: int, speech_end: int) -> int:
    """How long the user spoke, 0 if unknown."""
    began = _date(e.user_started_speaking_at, low, high) or _unix(e.sdk_started_speaking_at, low, high)
    return speech_end - began if began and 0 <= speech_end - began <= _LONGEST_SPEECH else 0


def turn_length(e: TurnMetrics, window: tuple[int, int]) -> int:
    """How long a turn took whose span is not written, in nanoseconds."""
    times = lay_out(e, window)
    start, end = times.envelope([stage for stage, timed in enumerate(_TIMED) if timed(e)], 0)
    return end - start


def is_timed(e: TurnMetrics, stage: int) -> bool:
    """Whether the event has a time stamp or duration of the stage."""
    return _TIMED[stage](e)


def _any_of(*names: str) -> Callable[[TurnMetrics], bool]:
    read = attrgetter(*names, names[0])
    absent = (None,) * (len(names) + 1)
    return lambda e: read(e) != absent


TIMED_BY: Final = (
    ("user_started_speaking_at", "user_stopped_speaking_at", "sdk_started_speaking_at", "sdk_stopped_speaking_at"),
    ("stt_delay_ms", "stt_timestamp"),
    ("turn_decision_ms",),
    ("llm_ttft_ms", "llm_duration_ms", "llm_timestamp"),
    ("tts_ttfb_ms", "tts_duration_ms", "tts_timestamp"),
    ("agent_started_speaking_at", "agent_stopped_speaking_at", "user_perceived_ms"),
    ("realtime_ttft_ms", "realtime_duration_ms"),
)
"""By stage, the fields that say when it was or how long it took."""
_TIMED: Final = tuple(_any_of(*names) for names in TIMED_BY)
