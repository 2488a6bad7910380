"""The log: one line per record on stderr, as text or JSON, and safe to read whatever a peer has sent.

Text from outside may contain line breaks, terminal sequences or a credential in a URL. So control characters are escaped, lengths are
limited, and query strings and passwords of URLs are removed from everything that is written.

Whoever reads stderr may be slow, hang or be gone. So a thread writes the lines, and nobody waits for it.
"""

import contextlib
import json
import logging
import math
import os
import queue
import re
import select
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal, TextIO

from exporter.bounded_dict import BoundedDict

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
Value = str | int | float
MESSAGE_LIMIT = 2000
VALUE_LIMIT = 300
TRACE_LIMIT = 8000
FIELD_LIMIT = 16
QUEUE_LIMIT: Final = 1000
"""Lines that wait for the reader of the log. Further ones are dropped and counted."""
FLUSH_TIMEOUT: Final = 1.0
"""Seconds that a flush waits for the reader of the log."""

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "suppressed", "color_message"}
_QUERY = re.compile(r"(?<=\S)\?(?=[^\s\"'])\S+")
_USER_INFO = re.compile(r"://[^/\s@]{1,1000}@")


def clean(text: str, limit: int, *, keep_end: bool = False) -> str:
    """``text`` without query strings, with printable characters only, cut to ``limit`` characters.

    A cut text is marked. ``keep_end`` cuts at the start, for tracebacks, whose last lines are the most useful.
    """
    if not keep_end:
        text = text[: 4 * limit]
    text = _USER_INFO.sub("://…@", _QUERY.sub("?…", text))
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(text) <= limit:
        return text
    return f"(cut)…{text[-limit:]}" if keep_end else f"{text[:limit]}…(cut)"


class RepeatFilter(logging.Filter):
    """Lets each message pass ``burst`` times per ``window`` seconds. The next one that passes reports how many were suppressed.

    Logger, level and template identify a message, so that arguments from outside cannot make it look new. At most
    ``MAX_REMEMBERED`` messages are remembered.
    """

    MAX_REMEMBERED = 1000

    def __init__(self, burst: int = 10, window: float = 60.0, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._burst, self._window, self._now = burst, window, now
        self._seen: BoundedDict[tuple[str, int, str], tuple[float, int]] = BoundedDict(self.MAX_REMEMBERED)
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written. Sets ``record.suppressed`` on the first record after suppressed ones."""
        key = (record.name, record.levelno, str(record.msg)[:VALUE_LIMIT])
        now = self._now()
        with self._lock:
            start, count = self._seen.get(key, (now, 0))
            if now - start >= self._window:
                record.suppressed = max(0, count - self._burst)
                start, count = now, 0
            self._seen[key] = (start, count + 1)
        return count < self._burst


class _LineFormatter(logging.Formatter):
    """The base of both formatters: the parts of a record, each of them cleaned. Without ``show_peers`` the field ``peer`` is masked."""

    def __init__(self, *, show_peers: bool = True) -> None:
        super().__init__()
        self._show_peers = show_peers

    def parts(self, record: logging.LogRecord) -> Iterator[tuple[str, Value]]:
        yield "time", datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        yield "level", record.levelname.lower()
        yield "logger", clean(record.name, VALUE_LIMIT)
        yield "message", clean(_message(record), MESSAGE_LIMIT)
        extras = [name for name in vars(record) if name not in _OWN_FIELDS]
        for name in extras[:FIELD_LIMIT]:
            value = vars(record)[name]
            yield clean(name, VALUE_LIMIT), "***" if name == "peer" and not self._show_peers else _value(value)
        if suppressed := getattr(record, "suppressed", 0):
            yield "suppressed", suppressed
        if record.exc_info and record.exc_info[1]:
            yield "exception", clean("".join(traceback.format_exception(record.exc_info[1])).rstrip(), TRACE_LIMIT, keep_end=True)


class TextFormatter(_LineFormatter):
    """``2026-01-31T12:00:00.000Z warning exporter.daemon.app: message key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        (_, at), (_, level), (_, logger), (_, message), *rest = self.parts(record)
        fields = "".join(f" {name}={_quoted(str(value))}" for name, value in rest)
        return f"{at} {level} {logger}: {message}{fields}"


class JsonFormatter(_LineFormatter):
    """A JSON object with ``time``, ``level``, ``logger``, ``message`` and the extras of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        parts: dict[str, Value] = {}
        for name, value in self.parts(record):
            parts.setdefault(name, value)
        return json.dumps(parts, ensure_ascii=False)


Line = str | Callable[[], str]
"""A line, or what makes it: a traceback reads source files, so it is made where waiting harms nobody."""


class _Drops:
    """The lines that were dropped since the process started, whichever writer had them."""

    lines: int = 0


def lines_dropped() -> int:
    """How many lines of the log were dropped since the process started."""
    return _Drops.lines


class LineWriter:
    """Writes lines to a file descriptor in a thread, so that no caller waits for the reader.

    At most :data:`QUEUE_LIMIT` lines wait. Further ones are dropped, as are those that the descriptor refuses. Once lines are written
    again, ``report`` makes the line that says how many were dropped.
    """

    def __init__(self, descriptor: int, report: Callable[[int], str]) -> None:
        self._descriptor = descriptor
        self._report = report
        self._dropped = 0
        # A SimpleQueue, because a finalizer may log in the middle of a put.
        self._waiting: queue.SimpleQueue[Line | threading.Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, line: Line) -> None:
        """Write the line, unless too many are waiting. Never waits."""
        if self._waiting.qsize() >= QUEUE_LIMIT:
            self._drop()
            return
        self._waiting.put(line)
        if self._thread is None:
            # A daemon thread, because a write to a reader that hangs never returns.
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def flush(self, timeout: float) -> None:
        """Wait until everything is written, at most ``timeout`` seconds."""
        if self._thread is not None:
            written = threading.Event()
            self._waiting.put(written)
            written.wait(timeout)

    def close(self) -> None:
        """End the thread once everything is written."""
        self._waiting.put(None)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                self._write(item if isinstance(item, str) else item())
                if self._dropped and self._waiting.qsize() <= QUEUE_LIMIT // 2:
                    dropped, self._dropped = self._dropped, 0
                    self._write(self._report(dropped))
            except OSError:
                self._drop()

    def _drop(self) -> None:
        self._dropped += 1
        _Drops.lines += 1

    def _write(self, line: str) -> None:
        rest = line.encode("utf-8", "backslashreplace") + b"\n"
        while rest:
            try:
                # Not through sys.stderr: its lock would be held while the reader hangs, and the interpreter could not exit.
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                select.select((), (self._descriptor,), ())


class LineHandler(logging.StreamHandler[TextIO]):
    """The only handler of the process. Another call of :func:`setup` replaces it.

    A stream without a file descriptor is in memory, and is written at once. Without a stream the records are discarded.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__(stream)
        descriptor = _descriptor(stream)
        self._discard = stream is None
        self._writer = None if descriptor is None else LineWriter(descriptor, self._dropped)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record. Never waits for the reader."""
        if self._writer is not None:
            self._writer.put(partial(self.format, record) if record.exc_info else self.format(record))
        elif not self._discard:
            super().emit(record)

    def flush(self) -> None:
        """Wait until everything is written, at most :data:`FLUSH_TIMEOUT` seconds."""
        if self._writer is not None:
            self._writer.flush(FLUSH_TIMEOUT)

    def close(self) -> None:
        """Write what is waiting, and end the thread."""
        if self._writer is not None:
            self._writer.close()
        super().close()

    def _dropped(self, lines: int) -> str:
        text = "%d log lines dropped, because the log was not read in time"
        return self.format(logging.LogRecord(__name__, logging.WARNING, "", 0, text, (lines,), None))


def _descriptor(stream: TextIO | None) -> int | None:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return None if stream is None else stream.fileno()
    return None


def hold_standard_descriptors() -> None:
    """Open ``/dev/null`` on those of the descriptors 0 to 2 that are closed.

    Otherwise a connection would get the number, and everything that is printed would go to a peer.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def setup(level: LogLevel, form: LogFormat, stream: TextIO | None = None, *, show_peers: bool = True) -> None:
    """Send the records of every logger, and Python's warnings, to ``stream`` (default: stderr).

    Without ``show_peers`` the addresses of peers are masked.
    """
    handler = LineHandler(sys.stderr if stream is None else stream)
    handler.setFormatter((JsonFormatter if form == "json" else TextFormatter)(show_peers=show_peers))
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, LineHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    _configure_libraries(level)


def log_uncaught_errors() -> None:
    """Write what Python prints on stderr to the log instead: the errors of threads, finalizers and callbacks."""
    log = logging.getLogger(__name__)
    threading.excepthook = lambda found: log.error("internal error in a thread", exc_info=found.exc_value)
    sys.unraisablehook = lambda found: log.error("internal error ignored: %s", found.err_msg or "", exc_info=found.exc_value)


def _configure_libraries(level: LogLevel) -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    # Without a handler uvicorn does not write access lines, which contain the query string.
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    logging.getLogger("asyncio").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    # Below this level these libraries, like uvicorn, log path and headers of every connection, and these may contain credentials.
    for name in ("websockets", "httpx", "grpc"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} (its arguments do not match)"


def _value(value: object) -> Value:
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return clean(str(value), VALUE_LIMIT)


def _quoted(value: str) -> str:
    return value if value and not re.search(r"[\s\"'=]", value) else json.dumps(value, ensure_ascii=False)
