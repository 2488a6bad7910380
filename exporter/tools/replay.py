"""The ``replay`` command: explains recorded events, one by one or all together, or draws their turns."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, Literal

from rich.console import Console

from exporter.metrics.label_limits import LabelLimits
from exporter.metrics.store import Change, Seen
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline, Tracing
from exporter.sessions.registry import SessionTimeouts
from exporter.tools.explanation import Explained, explain, explain_all
from exporter.tools.recorded_line import RecordedLine, name_of, read_line
from exporter.tools.recording import UnreadableRecordingError, read_recording
from exporter.tools.waterfall import draw, waterfall_console
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.span_handlers import Emit

_SETTLE_TIME: Final = 60.0
"""Seconds after the recording until no turn or session is pending."""
_PROGRESS_EVERY: Final = 0.25
"""Seconds between two updates of the line that shows the progress."""
_PROGRESS_LINES: Final = 64
"""Lines of the recording between two looks at the time."""

Numbered = tuple[int, RecordedLine]
"""A line of the recording and its number."""


class Replay:
    """Feeds recorded events to its own pipeline, and compares the metrics before and after."""

    def __init__(self, now: float, emit: Emit | None = None) -> None:
        self._pipeline = Pipeline(
            LabelLimits(), SessionTimeouts(), NoDiagnostics(), now=now, tracing=Tracing(SpanOptions(), emit) if emit else None
        )
        self._feeds: dict[tuple[bytes, ...], CallFeed] = {}
        self._now = now
        self._seen: Seen = {}
        self.comparisons = 0
        """How often all series were compared. This takes longer than an event does."""
        self.changes()

    def take(self, line: RecordedLine) -> None:
        """Process one line of the recording."""
        self._now = max(self._now, line.at)
        self._pipeline.tick(self._now)
        feed = self._feeds.get(line.call)
        if feed is None:
            feed = self._feeds[line.call] = CallFeed(self._pipeline)
        feed.consume(line.frame, self._now)

    def settle(self) -> None:
        """The recording is over: close all calls, and advance the clock until nothing is pending."""
        for feed in self._feeds.values():
            feed.close(self._now)
        self._pipeline.tick(self._now + _SETTLE_TIME)

    def changes(self) -> list[Change]:
        """The series that changed since the last call, by name."""
        self.comparisons += 1
        return sorted(self._pipeline.store.changes(self._seen), key=lambda change: change.spec.name)

    def summarise(self) -> int:
        """Say on stderr what became of the events. Returns the exit code: 1 if no line was an event."""
        metrics = self._pipeline.metrics
        total, rejected = metrics.frames_received[0], metrics.rejected[0]
        outcomes = f"{metrics.processed[0]:.0f} processed, {metrics.ignored[0]:.0f} ignored, {rejected:.0f} rejected"
        print(f"replay: {total:.0f} events: {outcomes}", file=sys.stderr)
        return 1 if total and rejected == total else 0


def run_replay(file: BinaryIO, form: Literal["text", "json"]) -> int:
    """The ``replay`` command: explains each line of ``file`` on stdout. Returns the exit code."""
    lines = _read(file)
    if lines is None:
        return 1
    replay = Replay(_start_time(lines))
    for number, line in _with_progress(lines, shown=_may_show_progress(prints=True)):
        replay.take(line)
        _print(explain(number, name_of(line.frame), replay.changes()), form)
    replay.settle()
    _print(explain(0, "end of recording", replay.changes()), form)
    return replay.summarise()


def summarise_replay(file: BinaryIO, form: Literal["text", "json"]) -> int:
    """``replay --summary``: explains all lines of ``file`` together. Returns the exit code."""
    lines = _read(file)
    if lines is None:
        return 1
    replay = Replay(_start_time(lines))
    for _, line in _with_progress(lines, shown=_may_show_progress(prints=False)):
        replay.take(line)
    replay.settle()
    _print(explain_all(replay.changes()), form)
    return replay.summarise()


def draw_replay(file: BinaryIO) -> int:
    """``replay --traces``: draws each turn of ``file`` on stdout once it is complete. Returns the exit code."""
    lines = _read(file)
    if lines is None:
        return 1
    console = waterfall_console()
    spans: list[bytes] = []
    replay = Replay(_start_time(lines), spans.extend)
    for _, line in _with_progress(lines, shown=_may_show_progress(prints=True)):
        replay.take(line)
        _draw(console, spans)
    replay.settle()
    _draw(console, spans)
    return replay.summarise()


def _read(file: BinaryIO) -> list[bytes] | None:
    """The lines of the recording, or ``None`` if it holds no events, which is said on stderr."""
    try:
        return read_recording(file)
    except UnreadableRecordingError as problem:
        print(f"replay: no events: {problem}", file=sys.stderr)
        return None


def _events(lines: Iterable[bytes]) -> Iterator[Numbered]:
    for number, raw in enumerate(lines, 1):
        line = read_line(raw) if raw else None
        if line is not None:
            yield number, line


def _with_progress(lines: list[bytes], *, shown: bool) -> Iterator[Numbered]:
    """The events of the lines. If ``shown``, stderr shows how many lines are read."""
    if not shown:
        yield from _events(lines)
        return
    due = 0.0
    for count, (number, line) in enumerate(_events(lines)):
        if count % _PROGRESS_LINES == 0 and time.monotonic() >= due:
            due = time.monotonic() + _PROGRESS_EVERY
            print(f"\rreplay: line {number:,} of {len(lines):,}", end="", file=sys.stderr, flush=True)
        yield number, line
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _may_show_progress(*, prints: bool) -> bool:
    """Only in a terminal, and not between the lines of an output that ``prints`` to the same terminal."""
    return sys.stderr.isatty() and not (prints and sys.stdout.isatty())


def _draw(console: Console, spans: list[bytes]) -> None:
    if spans:
        console.print(draw(spans, console.width))
        spans.clear()


def _start_time(lines: Iterable[bytes]) -> float:
    """The first time in the recording, in unix seconds."""
    return next((line.at for _, line in _events(lines) if line.at), 0.0)


def _print(found: Explained, form: Literal["text", "json"]) -> None:
    print(found.as_text() if form == "text" else found.as_json())
