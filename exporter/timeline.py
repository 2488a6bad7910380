"""When the parts of a turn happened, from what its turn.metrics says and what is known of the platform's clock.

All times are unix nanoseconds on the platform's clock, whose distance from ours :class:`Clock` learns from stamped events. A turn hangs
on one point, the end of the user's speech: as reported if that is plausible, else worked out from another stamp and the measured
durations between them. Only if no stamp is of use is the turn estimated: it then ends when its metrics were received. Whether a stamp
is near our own clock's "now" says nothing, since recordings are old.
"""

from datetime import datetime
from typing import Final

from exporter.events.turn_metrics import TurnMetrics

USER_SPEECH: Final = 0
SPEECH_TO_TEXT: Final = 1
TURN_DETECTION: Final = 2
CHAT: Final = 3
TEXT_TO_SPEECH: Final = 4
AGENT_SPEECH: Final = 5
REALTIME: Final = 6

SECOND: Final = 1_000_000_000
EARLIEST: Final = 1_000_000_000 * SECOND
"""Stamps before this (2001) are no times anyone measured; nor are those from 2286 on."""
LATEST: Final = 10_000_000_000 * SECOND
_FLOOR: Final = 10 * 86_400 * SECOND
_LONGEST_JUMP: Final = 3600 * SECOND
_BEFORE_SESSION: Final = 60 * SECOND
_AFTER_RECEIPT: Final = SECOND
_LONGEST_WAIT: Final = 120 * SECOND
_LONGEST_SPEECH: Final = 3600 * SECOND
_DISAGREEMENT: Final = 5 * SECOND


class Clock:
    """The platform's clock as a session sees it. Receipt is always unix seconds by our clock."""

    __slots__ = ("_earliest", "_lag")

    def __init__(self) -> None:
        self._earliest = 0
        self._lag = 0

    @property
    def known(self) -> bool:
        """Whether an event has said what time it is."""
        return self._earliest != 0

    def at(self, receipt: float) -> int:
        """The platform's time when we received something, as near as is known."""
        found = int(receipt * 1e6) * 1000 - self._lag
        return max(_FLOOR, found)

    def stamped(self, stamp: datetime | None, receipt: float) -> int:
        """When an event happened that carries ``stamp``; one that is far off the others is not believed."""
        moment = nanoseconds(stamp) if stamp is not None else 0
        return moment if moment and self.note(moment, receipt) else self.at(receipt)

    def note(self, moment: int, receipt: float) -> bool:
        """Learn that something received now happened at ``moment``; returns whether that can be."""
        lag = int(receipt * 1e6) * 1000 - moment
        if self._earliest == 0:
            self._earliest, self._lag = moment, lag
            return True
        if not -_LONGEST_JUMP < lag - self._lag < _LONGEST_JUMP:
            return False
        self._lag = min(self._lag, lag)
        self._earliest = min(self._earliest, moment)
        return True

    def window(self, began: float, receipt: float) -> tuple[int, int]:
        """Between which times a stamp must lie that came with something received now, in a session that began at ``began``."""
        if self._earliest == 0:
            return EARLIEST, LATEST
        return min(self._earliest, self.at(began)) - _BEFORE_SESSION, self.at(receipt) + _AFTER_RECEIPT


class Timeline:
    """Where a turn's children lie; index with the constants above.

    ``timed`` says which children have a measured time; the others lie where they would, without length.
    """

    __slots__ = ("ends", "estimated", "starts", "timed")

    def __init__(self, starts: list[int], ends: list[int], timed: tuple[bool, ...], *, estimated: bool) -> None:
        self.starts = starts
        self.ends = ends
        self.timed = timed
        self.estimated = estimated

    def envelope(self, present: list[int], receipt: int) -> tuple[int, int]:
        """Start and end of the turn that has these children; moves an estimated one so that it ends at ``receipt``."""
        if not present:
            return receipt, receipt
        start = min([self.starts[child] for child in present])
        end = max([self.ends[child] for child in present])
        if self.estimated:
            shift = receipt - end
            self.starts = [moment + shift for moment in self.starts]
            self.ends = [moment + shift for moment in self.ends]
            start += shift
            end = receipt
        return start, end


def nanoseconds(stamp: datetime) -> int:
    """A date-time in unix nanoseconds, or 0 where it is no time anyone measured."""
    found = int(stamp.timestamp() * 1e6 + 0.5) * 1000
    return found if EARLIEST <= found < LATEST else 0


def lay_out(e: TurnMetrics, window: tuple[int, int]) -> Timeline:
    """Find the children's times; stamps outside ``window`` count as missing."""
    stt, decision, callback = _ns(e.stt_delay_ms), _ns(e.turn_decision_ms), _ns(e.turn_completed_callback_ms)
    ttft, ttfb, first = _ns(e.llm_ttft_ms), _ns(e.tts_ttfb_ms), _ns(e.realtime_ttft_ms)
    before = max(stt, decision) + callback
    low, high = window
    agent = _date(e.agent_started_speaking_at, low, high)
    lead = first if e.realtime_ttft_ms is not None and not ttft and not ttfb else before + ttft + ttfb
    zero = _zero(e, low, high, agent, lead) or _zero_of_stage(e, window, stt, before, ttft)
    estimated = not zero
    if estimated:
        low, high, agent, zero = LATEST, 0, 0, LATEST // 2
    heard = stt or _after(_unix(e.stt_timestamp, low, high), zero, _LONGEST_WAIT)
    chat, chat_end = _chat(e, low, high, zero, zero + before)
    tts, tts_end = _tts(e, low, high, zero, chat + ttft)
    if not agent:
        if e.user_perceived_ms is not None:
            agent = zero + _ns(e.user_perceived_ms)
        else:
            agent = zero + first if e.realtime_ttft_ms is not None else tts + ttfb
    said = _after(_date(e.agent_stopped_speaking_at, low, high), agent, _LONGEST_SPEECH) or _ns(e.tts_audio_duration_ms)
    answered = zero + (_ns(e.realtime_duration_ms) or first)
    began = zero - _speech(e, low, high, zero)
    return Timeline(
        [began, zero, zero, chat, tts, agent, zero],
        [zero, zero + heard, zero + decision, chat_end, tts_end, agent + said, answered],
        _timed(e),
        estimated=estimated,
    )


def _ns(milliseconds: float | None) -> int:
    return int(milliseconds * 1e6) if milliseconds else 0


def _date(stamp: datetime | None, low: int, high: int) -> int:
    """The stamp if it lies between, else 0."""
    if stamp is None:
        return 0
    found = int(stamp.timestamp() * 1e6 + 0.5) * 1000
    return found if low <= found <= high and EARLIEST <= found < LATEST else 0


def _unix(stamp: float | None, low: int, high: int) -> int:
    """As :func:`_date`, of unix seconds."""
    if stamp is None:
        return 0
    found = int(stamp * 1e6 + 0.5) * 1000
    return found if low <= found <= high else 0


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
    perceived = e.user_perceived_ms
    waited = agent - stopped
    if 0 <= waited <= _LONGEST_WAIT and (perceived is None or -_DISAGREEMENT <= waited - _ns(perceived) <= _DISAGREEMENT):
        return stopped
    return agent - (lead if perceived is None else _ns(perceived))


def _zero_of_stage(e: TurnMetrics, window: tuple[int, int], stt: int, before: int, ttft: int) -> int:
    """The same from when a stage made its report, at its end; 0 if none says when."""
    low, high = window
    if stt and (end := _unix(e.stt_timestamp, low, high)):
        return end - stt
    if end := _unix(e.llm_timestamp, low, high):
        return end - (_ns(e.llm_duration_ms) or ttft) - before
    if end := _unix(e.tts_timestamp, low, high):
        return end - (_ns(e.tts_duration_ms) or _ns(e.tts_ttfb_ms)) - ttft - before
    return 0


def _chat(e: TurnMetrics, low: int, high: int, zero: int, otherwise: int) -> tuple[int, int]:
    """Start and end of the language model's part, which begins at ``otherwise`` if its report does not say when it ended."""
    duration = _ns(e.llm_duration_ms) or _ns(e.llm_ttft_ms)
    end = _unix(e.llm_timestamp, low, high)
    if end and 0 <= end - zero <= _LONGEST_SPEECH:
        return end - duration, end
    return otherwise, otherwise + duration


def _tts(e: TurnMetrics, low: int, high: int, zero: int, otherwise: int) -> tuple[int, int]:
    """As :func:`_chat`, of the synthesis."""
    duration = _ns(e.tts_duration_ms) or _ns(e.tts_ttfb_ms)
    end = _unix(e.tts_timestamp, low, high)
    if end and 0 <= end - zero <= _LONGEST_SPEECH:
        return end - duration, end
    return otherwise, otherwise + duration


def _speech(e: TurnMetrics, low: int, high: int, zero: int) -> int:
    """How long the user spoke, 0 if unknown."""
    began = _date(e.user_started_speaking_at, low, high) or _unix(e.sdk_started_speaking_at, low, high)
    return zero - began if began and 0 <= zero - began <= _LONGEST_SPEECH else 0


def _timed(e: TurnMetrics) -> tuple[bool, ...]:
    return (
        e.user_started_speaking_at is not None
        or e.user_stopped_speaking_at is not None
        or e.sdk_started_speaking_at is not None
        or e.sdk_stopped_speaking_at is not None,
        e.stt_delay_ms is not None or e.stt_timestamp is not None,
        e.turn_decision_ms is not None,
        e.llm_ttft_ms is not None or e.llm_duration_ms is not None or e.llm_timestamp is not None,
        e.tts_ttfb_ms is not None or e.tts_duration_ms is not None or e.tts_timestamp is not None,
        e.agent_started_speaking_at is not None or e.agent_stopped_speaking_at is not None or e.user_perceived_ms is not None,
        e.realtime_ttft_ms is not None or e.realtime_duration_ms is not None,
    )
