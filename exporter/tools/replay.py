"""Recorded events → what they become, explained event by event: which series moved, and why a value was refused.

Each line of a recording is an event as it came over the wire, or an object that holds one under ``event`` (as ``simulate --truth``
writes it, with ``call`` and ``connection`` to tell calls apart and ``sent_at`` for the time).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Literal, TypeVar

import msgspec
from rich.console import Console

from exporter.catalogue.quantities import DateTime, UnixTime
from exporter.metrics.label_limits import LabelLimits, normalise
from exporter.metrics.self_metrics import FRAMES, FRAMES_REJECTED, UNKNOWN_EVENTS, UNKNOWN_FIELDS, VALUES_REFUSED
from exporter.metrics.snapshot import HistogramPoint, Snapshot
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.pipeline import Diagnostics, Pipeline
from exporter.protocol.decoder import RefusalReason, RejectionReason
from exporter.sessions.registry import SessionTimeouts
from exporter.tools.waterfall import draw
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.turn_spans import Emit

WHY_REFUSED: Final[dict[str, str]] = {
    RefusalReason.WRONG_TYPE: "its type is not the one the protocol gives it",
    RefusalReason.SENTINEL: "-1 is how a stage says that it measured nothing",
    RefusalReason.NEGATIVE: "it is below zero",
    RefusalReason.TOO_LARGE: "it is larger than can be true, as from a stale clock anchor",
    RefusalReason.TOO_SMALL: "it is smaller than can be true",
    RefusalReason.NOT_A_TIME: "it is no RFC 3339 date-time with a time zone",
    RefusalReason.NOT_APPLICABLE: "turns that the agent began have none",
}
WHY_REJECTED: Final[dict[str, str]] = {
    RejectionReason.EMPTY: "the frame is empty",
    RejectionReason.TOO_LARGE: "the frame is larger than --max-frame-bytes",
    RejectionReason.NOT_UTF8: "the frame is not UTF-8",
    RejectionReason.NOT_JSON: "the frame is not JSON",
    RejectionReason.NOT_FINITE: "JSON knows no NaN or Infinity",
    RejectionReason.LONE_SURROGATE: "a string holds half a surrogate pair",
    RejectionReason.HUGE_NUMBER: "a number is beyond 64 bits",
    RejectionReason.TOO_DEEP: "the nesting is too deep",
    RejectionReason.NOT_OBJECT: "the frame is JSON, but not an object",
    RejectionReason.NO_TYPE: "neither type nor event names it",
    RejectionReason.BAD_ENVELOPE: "a tap sent what is no envelope",
    RejectionReason.TOO_MANY_CALLS: "the tap carries too many calls at once",
    RejectionReason.TOO_FAST: "more messages came than --max-message-rate allows",
}
_SELF = "agentstack_exporter_"
_AFTERWARDS: Final = 60.0
_NONE: Final = msgspec.Raw(b"null")
_unix_time: msgspec.json.Decoder[float] = msgspec.json.Decoder(UnixTime)

Found = TypeVar("Found")
Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Explained:
    """What one line became. ``moved`` maps series to what was added or, for a histogram, observed."""

    line: int
    event: str
    outcome: str
    moved: dict[str, str]
    notes: tuple[str, ...]


class Replay:
    """Feeds recorded events to a pipeline of its own and watches what moves."""

    def __init__(self, now: float, emit: Emit | None = None) -> None:
        self._pipeline = Pipeline(
            LabelLimits(), SessionTimeouts(), Diagnostics(), now=now, tracing=(SpanOptions(), emit) if emit else None
        )
        self._feeds: dict[tuple[bytes, ...], CallFeed] = {}
        self._now = now
        self._seen = self._values()

    def line(self, number: int, raw: bytes) -> Explained:
        """Take in one line of the recording and explain it."""
        return self._explain(number, _name_of(self.take(raw)))

    def take(self, raw: bytes) -> bytes:
        """Take in one line of the recording; returns the frame in it."""
        wrapper, frame = _unwrap(raw)
        self._now = max(self._now, _time_of(wrapper, frame))
        self._pipeline.tick(self._now)
        feed = self._feeds.get(wrapper.call)
        if feed is None:
            feed = self._feeds[wrapper.call] = CallFeed(self._pipeline)
        feed.consume(frame, self._now)
        return frame

    def end(self) -> Explained:
        """The recording is over: what was still waiting is settled."""
        self.settle()
        return self._explain(0, "end of recording")

    def settle(self) -> None:
        """Let the time pass in which anything may still come."""
        for feed in self._feeds.values():
            feed.close(self._now)
        self._pipeline.tick(self._now + _AFTERWARDS)

    def _explain(self, number: int, event: str) -> Explained:
        before, after = self._seen, self._values()
        self._seen = after
        changed = {key: (before.get(key), value) for key, value in after.items() if before.get(key) != value}
        moved = {_series(key): _movement(*values) for key, values in changed.items() if not key[0].startswith(_SELF)}
        return Explained(number, event, _outcome(changed), moved, tuple(_notes(changed)))

    def _values(self) -> dict[Key, float | HistogramPoint]:
        return dict(_flatten(self._pipeline.snapshot(self._now)))


def _flatten(snapshot: Snapshot) -> Iterator[tuple[Key, float | HistogramPoint]]:
    for family in snapshot.families:
        for series in family.series:
            yield (family.spec.name, tuple(zip(family.spec.labels, series.labels, strict=True))), series.value


def _movement(before: float | HistogramPoint | None, after: float | HistogramPoint) -> str:
    if isinstance(after, HistogramPoint):
        past = before if isinstance(before, HistogramPoint) else HistogramPoint((), 0.0)
        times = sum(after.counts) - sum(past.counts)
        total = after.sum - past.sum
        return f"observed {total:.6g}" if times == 1 else f"observed {times} values, {total:.6g} in all"
    past_value = before if isinstance(before, float) else 0.0
    return f"{after - past_value:+.6g}"


def _outcome(changed: dict[Key, Any]) -> str:
    return next((dict(labels)["outcome"] for name, labels in changed if name == FRAMES.name), "")


def _notes(changed: dict[Key, Any]) -> Iterator[str]:
    for name, pairs in changed:
        labels = dict(pairs)
        if name == VALUES_REFUSED.name:
            yield f"{labels['field']} refused as {labels['reason']}: {WHY_REFUSED.get(labels['reason'], '')}"
        elif name == FRAMES_REJECTED.name:
            yield f"rejected as {labels['reason']}: {WHY_REJECTED.get(labels['reason'], 'an error of the exporter')}"
        elif name == UNKNOWN_EVENTS.name:
            yield f"no event of that name is known: {labels['event']}"
        elif name == UNKNOWN_FIELDS.name:
            yield f"no field of that name is known: {labels['field']}"


def _series(key: Key) -> str:
    name, labels = key
    return name + ("{" + ",".join(f'{label}="{value}"' for label, value in labels) + "}" if labels else "")


class _Wrapper(msgspec.Struct):
    """What a recording's line says around the frame; a bare event has none of it."""

    event: msgspec.Raw = _NONE
    sent_at: msgspec.Raw = _NONE
    call_number: msgspec.Raw = msgspec.field(default=_NONE, name="call")
    session: msgspec.Raw = _NONE
    connection: msgspec.Raw = _NONE

    @property
    def call(self) -> tuple[bytes, ...]:
        """What tells the connections of a recording apart."""
        return tuple(bytes(part) for part in (self.call_number, self.session, self.connection))


class _Stamp(msgspec.Struct):
    timestamp: DateTime | None = None


class _Head(msgspec.Struct):
    type: str | None = None
    event: str | None = None


def _read(raw: bytes, kind: type[Found]) -> Found:
    """The parts of a JSON object that ``kind`` asks for, or none of them."""
    try:
        return msgspec.json.Decoder(kind).decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return kind()


def _unwrap(raw: bytes) -> tuple[_Wrapper, bytes]:
    """A recording's line as its wrapper (an empty one for a bare event) and the frame within."""
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
    """The ``replay`` command: explains each line of ``file`` on stdout; returns the exit code."""
    lines = [line.strip() for line in file]
    replay = Replay(_beginning(lines))
    for number, line in enumerate(lines, 1):
        if line:
            _print(replay.line(number, line), form)
    _print(replay.end(), form)
    return 0


def draw_replay(file: BinaryIO) -> int:
    """``replay --traces``: draws each turn of ``file`` on stdout when it is complete; returns the exit code."""
    lines = [line.strip() for line in file]
    console = Console(highlight=False)
    spans: list[bytes] = []
    replay = Replay(_beginning(lines), spans.extend)
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


def _beginning(lines: Iterable[bytes]) -> float:
    """The first time that the recording knows, in unix seconds."""
    times = (_time_of(*_unwrap(line)) for line in lines)
    return next((time for time in times if time), 0.0)


def _print(found: Explained, form: Literal["text", "json"]) -> None:
    print(_text(found) if form == "text" else msgspec.json.encode(found).decode())
