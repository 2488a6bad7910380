"""The ``replay`` command: explains recorded events one by one: which series changed, and why a value was refused.

Each line of a recording is an event as it was on the wire, or an object that holds one under ``event``. ``simulate --truth`` writes
such objects, with ``call`` and ``connection`` to distinguish calls and ``sent_at`` for the time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal, TypeVar

import msgspec
from rich.console import Console

from exporter.catalogue.quantities import DateTime, UnixTime
from exporter.metrics.label_limits import LabelLimits, normalise
from exporter.metrics.self_metrics import FRAMES, FRAMES_REJECTED, UNKNOWN_EVENTS, UNKNOWN_FIELDS, VALUES_REFUSED
from exporter.metrics.snapshot import HistogramPoint, Snapshot
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline, Tracing
from exporter.protocol.decoder import RefusalReason, RejectionReason
from exporter.sessions.registry import SessionTimeouts
from exporter.tools.waterfall import draw
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.span_handlers import Emit

WHY_REFUSED: Final[dict[str, str]] = {
    RefusalReason.WRONG_TYPE: "its type is not the one in the protocol",
    RefusalReason.SENTINEL: "a stage reports -1 if it measured nothing",
    RefusalReason.NEGATIVE: "it is below zero",
    RefusalReason.TOO_LARGE: "it is implausibly large, as from a stale clock anchor",
    RefusalReason.TOO_SMALL: "it is implausibly small",
    RefusalReason.NOT_A_TIME: "it is not an RFC 3339 date-time with a time zone",
    RefusalReason.NOT_APPLICABLE: "turns that the agent began have none",
}
WHY_REJECTED: Final[dict[str, str]] = {
    RejectionReason.EMPTY: "the frame is empty",
    RejectionReason.TOO_LARGE: "the frame is larger than --max-frame-bytes",
    RejectionReason.NOT_UTF8: "the frame is not UTF-8",
    RejectionReason.NOT_JSON: "the frame is not JSON",
    RejectionReason.NOT_FINITE: "JSON has no NaN or Infinity",
    RejectionReason.LONE_SURROGATE: "a string holds half a surrogate pair",
    RejectionReason.HUGE_NUMBER: "a number is beyond 64 bits",
    RejectionReason.TOO_DEEP: "the nesting is too deep",
    RejectionReason.NOT_OBJECT: "the frame is JSON, but not an object",
    RejectionReason.NO_TYPE: "the event has no name: expected type or event",
    RejectionReason.BAD_ENVELOPE: "the message of a tap is not an envelope",
    RejectionReason.TOO_MANY_CALLS: "the tap carries too many calls at the same time",
    RejectionReason.TOO_FAST: "the connection exceeds --max-message-rate",
}
_SELF = "agentstack_exporter_"
_SETTLE_TIME: Final = 60.0
"""Seconds after the recording until no turn or session is pending."""
_NONE: Final = msgspec.Raw(b"null")
_unix_time: msgspec.json.Decoder[float] = msgspec.json.Decoder(UnixTime)

Found = TypeVar("Found")
Key = tuple[str, tuple[tuple[str, str], ...]]
"""A series: the name of its metric, and the names and values of its labels."""
Point = float | HistogramPoint
Changes = dict[Key, tuple[Point | None, Point]]
"""The values of each changed series before and after an event."""


@dataclass(frozen=True, slots=True)
class Explained:
    """The explanation of one line. ``moved`` maps each series that changed to its increase or, for a histogram, the observation."""

    line: int
    event: str
    outcome: str
    moved: dict[str, str]
    notes: tuple[str, ...]


class Replay:
    """Feeds recorded events to its own pipeline and compares the metrics before and after each one."""

    def __init__(self, now: float, emit: Emit | None = None) -> None:
        self._pipeline = Pipeline(
            LabelLimits(), SessionTimeouts(), NoDiagnostics(), now=now, tracing=Tracing(SpanOptions(), emit) if emit else None
        )
        self._feeds: dict[tuple[bytes, ...], CallFeed] = {}
        self._now = now
        self._seen = self._values()

    def line(self, number: int, raw: bytes) -> Explained:
        """Process one line of the recording and explain it."""
        return self._explain(number, _name_of(self.take(raw)))

    def take(self, raw: bytes) -> bytes:
        """Process one line of the recording. Returns its frame."""
        wrapper, frame = _unwrap(raw)
        self._now = max(self._now, _time_of(wrapper, frame))
        self._pipeline.tick(self._now)
        feed = self._feeds.get(wrapper.call)
        if feed is None:
            feed = self._feeds[wrapper.call] = CallFeed(self._pipeline)
        feed.consume(frame, self._now)
        return frame

    def end(self) -> Explained:
        """The recording is over: process what is still pending, and explain it."""
        self.settle()
        return self._explain(0, "end of recording")

    def settle(self) -> None:
        """Close all calls, and advance the clock until nothing is pending."""
        for feed in self._feeds.values():
            feed.close(self._now)
        self._pipeline.tick(self._now + _SETTLE_TIME)

    def _explain(self, number: int, event: str) -> Explained:
        before, after = self._seen, self._values()
        self._seen = after
        changed: Changes = {key: (before.get(key), value) for key, value in after.items() if before.get(key) != value}
        moved = {_series(key): _movement(*values) for key, values in changed.items() if not key[0].startswith(_SELF)}
        return Explained(number, event, _outcome(changed), moved, tuple(_notes(changed)))

    def _values(self) -> dict[Key, Point]:
        return dict(_flatten(self._pipeline.snapshot(self._now)))


def _flatten(snapshot: Snapshot) -> Iterator[tuple[Key, Point]]:
    for family in snapshot.families:
        for series in family.series:
            yield (family.spec.name, tuple(zip(family.spec.labels, series.labels, strict=True))), series.value


def _movement(before: Point | None, after: Point) -> str:
    if isinstance(after, HistogramPoint):
        past = before if isinstance(before, HistogramPoint) else HistogramPoint((), 0.0)
        times = sum(after.counts) - sum(past.counts)
        total = after.sum - past.sum
        return f"observed {total:.6g}" if times == 1 else f"observed {times} values, {total:.6g} in all"
    past_value = before if isinstance(before, float) else 0.0
    return f"{after - past_value:+.6g}"


def _outcome(changed: Changes) -> str:
    return next((dict(labels)["outcome"] for name, labels in changed if name == FRAMES.name), "")


def _notes(changed: Changes) -> Iterator[str]:
    for name, pairs in changed:
        labels = dict(pairs)
        if name == VALUES_REFUSED.name:
            yield f"{labels['field']} refused as {labels['reason']}: {WHY_REFUSED.get(labels['reason'], '')}"
        elif name == FRAMES_REJECTED.name:
            yield f"rejected as {labels['reason']}: {WHY_REJECTED.get(labels['reason'], 'internal error of the exporter')}"
        elif name == UNKNOWN_EVENTS.name:
            yield f"unknown event: {labels['event']}"
        elif name == UNKNOWN_FIELDS.name:
            yield f"unknown field: {labels['field']}"


def _series(key: Key) -> str:
    name, labels = key
    return name + ("{" + ",".join(f'{label}="{value}"' for label, value in labels) + "}" if labels else "")


class _Wrapper(msgspec.Struct):
    """The object around an event in a recording. A bare event has no such object."""

    event: msgspec.Raw = _NONE
    sent_at: msgspec.Raw = _NONE
    call_number: msgspec.Raw = msgspec.field(default=_NONE, name="call")
    session: msgspec.Raw = _NONE
    connection: msgspec.Raw = _NONE

    @property
    def call(self) -> tuple[bytes, ...]:
        """The key that identifies a connection of the recording."""
        return tuple(bytes(part) for part in (self.call_number, self.session, self.connection))


class _Stamp(msgspec.Struct):
    timestamp: DateTime | None = None


class _Head(msgspec.Struct):
    type: str | None = None
    event: str | None = None


def _read(raw: bytes, kind: type[Found]) -> Found:
    """The fields of ``kind`` in a JSON object, or the defaults if it cannot be read."""
    try:
        return msgspec.json.Decoder(kind).decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return kind()


def _unwrap(raw: bytes) -> tuple[_Wrapper, bytes]:
    """Split a line into its wrapper, which is empty for a bare event, and the frame."""
    wrapper = _read(raw, _Wrapper)
    frame = bytes(wrapper.event)
    return (wrapper, frame) if frame.startswith(b"{") else (_Wrapper(), raw)


def _time_of(wrapper: _Wrapper, frame: bytes) -> float:
    try:
        return _unix_time.decode(wrapper.sent_at)
    except msgspec.MsgspecError:
        stamp = _read(frame, _Stamp).timestamp
    return stamp.timestamp() if stamp is not None else 0.0


def _name_of(frame: bytes) -> str:
    head = _read(frame, _Head)
    return normalise(head.type or head.event or "?")


def _text(found: Explained) -> str:
    where = f"line {found.line}: " if found.line else ""
    outcome = f" {found.outcome}" if found.outcome else ""
    details = [f"  {note}" for note in found.notes]
    details += [f"  {series} {movement}" for series, movement in found.moved.items()]
    return "\n".join([f"{where}{found.event}{outcome}", *details])


def run_replay(file: BinaryIO, form: Literal["text", "json"]) -> int:
    """The ``replay`` command: explains each line of ``file`` on stdout. Returns the exit code."""
    lines = [line.strip() for line in file]
    replay = Replay(_start_time(lines))
    for number, line in enumerate(lines, 1):
        if line:
            _print(replay.line(number, line), form)
    _print(replay.end(), form)
    return 0


def draw_replay(file: BinaryIO) -> int:
    """``replay --traces``: draws each turn of ``file`` on stdout once it is complete. Returns the exit code."""
    lines = [line.strip() for line in file]
    console = Console(highlight=False)
    spans: list[bytes] = []
    replay = Replay(_start_time(lines), spans.extend)
    for line in filter(None, lines):
        replay.take(line)
        _draw(console, spans)
    replay.settle()
    _draw(console, spans)
    return 0


def _draw(console: Console, spans: list[bytes]) -> None:
    if spans:
        console.print(draw(spans))
        spans.clear()


def _start_time(lines: Iterable[bytes]) -> float:
    """The first time in the recording, in unix seconds."""
    times = (_time_of(*_unwrap(line)) for line in lines)
    return next((time for time in times if time), 0.0)


def _print(found: Explained, form: Literal["text", "json"]) -> None:
    print(_text(found) if form == "text" else msgspec.json.encode(found).decode())
