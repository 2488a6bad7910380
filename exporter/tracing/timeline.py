"""When the parts of a turn happened, from what its turn.metrics says and what is known of the platform's clock.

All times are unix nanoseconds on the platform's clock, whose distance from ours :class:`Clock` learns from stamped events. A turn hangs
on one point, the end of the user's speech: as reported if that is plausible, else worked out from another stamp and the measured
durations between them. Only if no stamp is of use is the turn estimated: it then ends when its metrics were received. Whether a stamp
is near our own clock's "now" says nothing, since recordings are old.
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
    """Where a turn's children lie; index with the constants above.

    Children of which no time is known lie where they would, without length.
    """

    __slots__ = ("ends", "estimated", "starts")

    def __init__(self, starts: list[int], ends: list[int], *, estimated: bool) -> None:
        self.starts = starts
        self.ends = ends
        self.estimated = estimated

    def envelope(self, present: Iterable[int], receipt: int) -> tuple[int, int]:
        """Start and end of the turn that has these children; moves an estimated one so that it ends at ``receipt``."""
        starts, ends = self.starts, self.ends
        start, end = LATEST * 2, 0
        for child in present:
            start = starts[child] if starts[child] < start else start  # noqa: FURB136 - the hot path
            end = ends[child] if ends[child] > end else end  # noqa: FURB136 - as above
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
    """Find the children's times; stamps outside ``window`` count as missing."""
    low, high = window
    stt = _ns(e.stt_delay_ms)
    decision = _ns(e.turn_decision_ms)
    detection = stt if e.tts_pipeline_ms is not None else 0  # a server of the second generation measures it from the transcript on
    before = max(stt, detection + decision) + _ns(e.turn_completed_callback_ms or e.on_user_turn_completed_ms)
    ttft, ttfb, first = _ns(e.llm_ttft_ms), _ns(e.tts_ttfb_ms), _ns(e.realtime_ttft_ms)
    agent = _date(e.agent_started_speaking_at, low, high)
    zero = _zero(e, low, high, agent, before + ttft + ttfb or first) or _zero_of_stage(e, low, high, before)
    estimated = not zero
    if estimated:
        low, high, agent, zero = LATEST, 0, 0, LATEST // 2
    heard = stt or _after(_unix(e.stt_timestamp, low, high), zero, _LONGEST_WAIT)
    chat_length = _ns(e.llm_duration_ms) or ttft
    tts_length = _ns(e.tts_duration_ms) or ttfb
    chat = _ended(_unix(e.llm_timestamp, low, high), zero, chat_length) or zero + before
    tts = _ended(_unix(e.tts_timestamp, low, high), zero, tts_length) or chat + ttft
    if not agent:
        agent = _answer(e, zero, tts + ttfb, zero + first)
    said = _after(_date(e.agent_stopped_speaking_at, low, high), agent, _LONGEST_SPEECH) or _ns(e.tts_audio_duration_ms)
    answered = zero + (_ns(e.realtime_duration_ms) or first)
    return Timeline(
        [zero - _speech(e, low, high, zero), zero, zero + detection, chat, tts, agent, zero],
        [zero, zero + heard, zero + detection + decision, chat + chat_length, tts + tts_length, agent + said, answered],
        estimated=estimated,
    )


def _ns(milliseconds: float | None) -> int:
    """Milliseconds as whole nanoseconds, 0 if there are none."""
    if not milliseconds:
        return 0
    length = milliseconds  # a name of its own, for timeline.pxd to give it a type; so is `seconds` below
    return int(length * 1e6)


def _date(stamp: datetime | None, low: int, high: int) -> int:
    """The stamp if it lies between, else 0."""
    return 0 if stamp is None else _unix(stamp.timestamp(), low, high)


def _unix(stamp: float | None, low: int, high: int) -> int:
    """As :func:`_date`, of unix seconds."""
    if stamp is None:
        return 0
    seconds = stamp
    if not 0.0 <= seconds < _LATEST_SECONDS:
        return 0
    found = int(seconds * 1e6 + 0.5) * 1000
    return found if low <= found <= high else 0


def _ended(end: int, zero: int, length: int) -> int:
    """The start of a stage of that length that made its report at its ``end``, or 0 if when that was cannot be right."""
    return end - length if end and 0 <= end - zero <= _LONGEST_SPEECH else 0


def _answer(e: TurnMetrics, zero: int, spoken: int, streamed: int) -> int:
    """When the agent began to speak, where no stamp says so."""
    if e.user_perceived_ms is not None:
        return zero + _ns(e.user_perceived_ms)
    return spoken if e.realtime_ttft_ms is None else streamed


def _after(moment: int, start: int, most: int) -> int:
    """How long after ``start`` a stamp lies, or 0 if it cannot be right."""
    return moment - start if moment and 0 <= moment - start <= most else 0


def _zero(e: TurnMetrics, low: int, high: int, agent: int, lead: int) -> int:
    """The end of the user's speech, or 0. The agent begins ``lead`` later as far as its parts were measured."""
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


def _zero_of_stage(e: TurnMetrics, low: int, high: int, before: int) -> int:
    """The same from when a stage made its report, at its end; 0 if none says when. The LLM was asked ``before`` later."""
    stt, ttft = _ns(e.stt_delay_ms), _ns(e.llm_ttft_ms)
    end = _unix(e.stt_timestamp, low, high)
    if stt and end:
        return end - stt
    end = _unix(e.llm_timestamp, low, high)
    if end:
        return end - (_ns(e.llm_duration_ms) or ttft) - before
    end = _unix(e.tts_timestamp, low, high)
    return end - _ns(e.tts_duration_ms or e.tts_ttfb_ms) - ttft - before if end else 0


def _speech(e: TurnMetrics, low: int, high: int, zero: int) -> int:
    """How long the user spoke, 0 if unknown."""
    began = _date(e.user_started_speaking_at, low, high) or _unix(e.sdk_started_speaking_at, low, high)
    return zero - began if began and 0 <= zero - began <= _LONGEST_SPEECH else 0


def is_timed(e: TurnMetrics, child: int) -> bool:
    """Whether the event says anything of when the child was, or how long it took."""
    return _TIMED[child](e)


def _any_of(*names: str) -> Callable[[TurnMetrics], bool]:
    read = attrgetter(*names, names[0])
    absent = (None,) * (len(names) + 1)
    return lambda e: read(e) != absent


_TIMED: Final = (
    _any_of("user_started_speaking_at", "user_stopped_speaking_at", "sdk_started_speaking_at", "sdk_stopped_speaking_at"),
    _any_of("stt_delay_ms", "stt_timestamp"),
    _any_of("turn_decision_ms"),
    _any_of("llm_ttft_ms", "llm_duration_ms", "llm_timestamp"),
    _any_of("tts_ttfb_ms", "tts_duration_ms", "tts_timestamp"),
    _any_of("agent_started_speaking_at", "agent_stopped_speaking_at", "user_perceived_ms"),
    _any_of("realtime_ttft_ms", "realtime_duration_ms"),
)
