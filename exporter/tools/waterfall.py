"""Spans as a waterfall in a terminal: one bar a span, children below their parent.

The bar of a turn fills the width. Its children are drawn and timed relative to the turn, not to the call. In a narrow terminal
names and times come first: bars become shorter, and notes stand below them.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from rich.console import Console, Group, RenderableType
from rich.text import Text

WIDE: Final = 140
"""Width of a drawing that no terminal limits, in characters."""
_MAX_BAR: Final = 48
_MIN_BAR: Final = 10
_INDENT: Final = 4
"""Columns before notes that are below their bar, at least."""
_COLOURS: Final = {
    "user_speech": "cyan",
    "speech_to_text": "blue",
    "turn_detection": "magenta",
    "chat": "yellow",
    "text_to_speech": "green",
    "realtime_inference": "yellow",
    "agent_speech": "bright_green",
    "execute_tool": "bright_blue",
}
_TURN: Final = "invoke_agent"
_SHOWN: Final = {
    "agentstack.turn.user_perceived_latency": "caller waited",
    "agentstack.timeline": "times",
    "error.type": "error",
    "agentstack.session.end_reason": "ended by",
}
_INTERRUPTED: Final = "agentstack.turn.interrupted"


def waterfall_console() -> Console:
    """The console for stdout: as wide as the terminal; if the output goes elsewhere, as wide as the drawing needs."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console


def draw(spans: Iterable[bytes], width: int = WIDE) -> RenderableType:
    """Draw serialised OTLP spans in ``width`` columns, one waterfall for each span without a parent among them.

    Raises ``DecodeError`` for other bytes.
    """
    decoded = sorted((Span.FromString(span) for span in spans), key=lambda span: (span.start_time_unix_nano, -span.end_time_unix_nano))
    known = {span.span_id for span in decoded}
    children: dict[bytes, list[Span]] = {}
    for span in decoded:
        children.setdefault(span.parent_span_id if span.parent_span_id in known else b"", []).append(span)
    return Group(*(_waterfall(root, children, width) for root in children.get(b"", ())))


@dataclass(frozen=True, slots=True)
class _Row:
    """What is drawn of a span. ``scale`` is the span that it is drawn relative to."""

    name: Text
    offset: str
    length: str
    notes: Text
    span: Span
    scale: Span


def _waterfall(root: Span, children: dict[bytes, list[Span]], width: int) -> Text:
    rows = [_row(depth, span, scale, root) for depth, span, scale in _walk(root, children, 0, root)]
    numbers = [max(len(row.offset) for row in rows), max(len(row.length) for row in rows)]
    room = width - sum(numbers) - 4
    names = min(max(row.name.cell_len for row in rows), room - _MIN_BAR)
    room -= names
    notes = max(row.notes.cell_len for row in rows)
    beside = room - notes >= _MIN_BAR
    bar = min(_MAX_BAR, room - notes if beside else room)
    return Text("\n").join(line for row in rows for line in _lines(row, [names, *numbers, bar], beside=beside, width=width))


def _row(depth: int, span: Span, scale: Span, root: Span) -> _Row:
    name = Text("  " * depth + _printable(span.name), style="bold red" if _failed(span) else _colour(span) if depth else "bold")
    offset = span.start_time_unix_nano - (root if span is scale else scale).start_time_unix_nano
    length = span.end_time_unix_nano - span.start_time_unix_nano
    return _Row(name, f"+{_time(offset)}", _time(length), _notes(span), span, scale)


def _lines(row: _Row, columns: list[int], *, beside: bool, width: int) -> Iterator[Text]:
    """The line of a span. Notes that have no room ``beside`` the bars are below, as far right as they fit."""
    names, offsets, lengths, bar = columns
    name = row.name.copy()
    name.truncate(names, overflow="ellipsis", pad=True)
    numbers = ((row.offset.rjust(offsets), "dim"), " ", row.length.rjust(lengths))
    drawn = Text.assemble(name, " ", *numbers, " ", _bar(row.span, row.scale, bar))
    if beside:
        drawn = Text.assemble(drawn, " ", row.notes)
    drawn.rstrip()
    yield drawn
    if not beside and row.notes:
        notes = row.notes.copy()
        notes.truncate(width - _INDENT, overflow="ellipsis")
        yield Text.assemble(" " * max(_INDENT, min(names + 1, width - notes.cell_len)), notes)


def _walk(span: Span, children: dict[bytes, list[Span]], depth: int, scale: Span) -> Iterator[tuple[int, Span, Span]]:
    """The span and all spans below it, each with its depth and the span it is drawn relative to: its turn, or the root."""
    scale = span if span.name.startswith(_TURN) else scale
    yield depth, span, scale
    for child in children.get(span.span_id, ()):
        yield from _walk(child, children, depth + 1, scale)


def _bar(span: Span, scale: Span, width: int) -> Text:
    whole = max(scale.end_time_unix_nano - scale.start_time_unix_nano, 1)

    def column(moment: int) -> int:
        return min(max((moment - scale.start_time_unix_nano) * width // whole, 0), width - 1)

    first, last = column(span.start_time_unix_nano), column(span.end_time_unix_nano)
    series_cache = [" "] * width
    series_cache[first : last + 1] = ["━"] * (last + 1 - first) if span.end_time_unix_nano > span.start_time_unix_nano else ["·"]
    for event in span.events:
        if event.name in ("first_token", "first_byte"):
            series_cache[column(event.time_unix_nano)] = "◆"
    return Text("".join(series_cache), style="red" if _failed(span) else _colour(span))


def _notes(span: Span) -> Text:
    found = {entry.key: entry.value for entry in span.attributes}
    notes = []
    if _INTERRUPTED in found and found[_INTERRUPTED].bool_value:
        notes.append("interrupted")
    for key, words in _SHOWN.items():
        if key in found:
            value = found[key]
            text = f"{value.double_value:.3f} s" if value.HasField("double_value") else value.string_value
            if text != "platform":
                notes.append(f"{words} {text}")
    return Text(_printable(", ".join(notes)), style="dim")


def _printable(text: str) -> str:
    """The text with unprintable characters replaced, because it comes from the wire and could control the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _failed(span: Span) -> bool:
    return span.status.code == Status.STATUS_CODE_ERROR


def _colour(span: Span) -> str:
    return _COLOURS.get(span.name.partition(" ")[0], "white")


def _time(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.2f} s" if nanoseconds >= 10_000_000_000 else f"{nanoseconds / 1e6:.0f} ms"
