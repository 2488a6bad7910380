"""The log: one safe line per record, in both formats, without floods and without query strings."""

import contextlib
import io
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.logs import MESSAGE_LIMIT, QUEUE_LIMIT, TRACE_LIMIT, LineHandler, RepeatFilter, clean, lines_dropped, setup
from tests.support.waiting import eventually_sync

LIBRARIES = ("", "uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access", "websockets", "asyncio")


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    yield
    logging.captureWarnings(False)
    for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers


def written(act: Callable[[], object], level: Any = "info", form: Any = "text") -> list[str]:
    """The lines that appear in the log while ``act`` runs."""
    stream = io.StringIO()
    setup(level, form, stream)
    logging.getLogger().handlers[:] = [own_handler()]  # a report of pytest's with an unpaired surrogate in it cannot leave a worker
    act()
    return stream.getvalue().split("\n")[:-1]


def info(message: str, *args: object, **extra: object) -> Callable[[], None]:
    """Something that logs one line at info."""
    return lambda: logging.getLogger("exporter.test").info(message, *args, extra=extra)


def own_handler() -> LineHandler:
    """The one handler that setup has installed."""
    [handler] = [handler for handler in logging.getLogger().handlers if isinstance(handler, LineHandler)]
    return handler


def test_text_line() -> None:
    """A text line holds time, level, logger, message and the extras, quoted where needed."""
    [line] = written(info("ready on %s", "127.0.0.1:8790", calls=3, agent="a b", note=""))
    time, _, rest = line.partition(" ")
    assert len(time) == len("2026-01-31T12:00:00.000Z")
    assert time.endswith("Z")
    assert rest == 'info exporter.test: ready on 127.0.0.1:8790 calls=3 agent="a b" note=""'


def test_json_line() -> None:
    """A JSON line is an object; numbers and flags among the extras stay what they are."""
    [line] = written(info("ready é", calls=3, ok=True, share=0.5, lost=float("nan"), where=("a", 1)), form="json")
    record = json.loads(line)
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "info",
        "logger": "exporter.test",
        "message": "ready é",
        "calls": 3,
        "ok": True,
        "share": 0.5,
        "lost": "nan",
        "where": "('a', 1)",
    }


def test_extra_cannot_replace_the_records_own_parts() -> None:
    """An extra with the name of a part of the line does not replace it."""
    [line] = written(info("said", level="critical", time="never"), form="json")
    assert json.loads(line)["level"] == "info"
    assert json.loads(line)["time"].endswith("Z")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("hostile", ["a\nb", "a\r\nb", "\x1b[31mred", "\x9b2J", "a\u2028b", "\u202egnp.exe", "\x00", "\ud800", "\x7f"])
def test_control_characters_are_escaped(form: str, hostile: str) -> None:
    """Line breaks, terminal sequences and unpaired surrogates from outside reach the log as their escapes."""
    [line] = written(info("got %s", hostile, extra_value=hostile), form=form)
    assert line.isprintable()
    escaped = hostile.encode("unicode_escape").decode()
    assert (escaped if form == "text" else json.dumps(escaped)[1:-1]).split("\\")[-1] in line


@given(st.text(), st.text(), st.sampled_from(["text", "json"]))
def test_one_record_is_one_printable_line(message: str, value: str, form: str) -> None:
    """Whatever is logged, one record is one printable line of bounded length."""
    [line] = written(info("%s", message, value=value), form=form)
    assert line.isprintable()
    if form == "json":
        assert json.loads(line)["level"] == "info"


@pytest.mark.parametrize("form", ["text", "json"])
def test_long_values_are_cut(form: str) -> None:
    """Message, extras and their number are capped, so a line cannot grow without bound."""
    extras = {f"field_{i}": "y" * 10_000 for i in range(100)}
    [line] = written(info("%s", "x" * 1_000_000, **extras), form=form)
    assert "x" * MESSAGE_LIMIT + "…(cut)" in line
    assert "field_15" in line
    assert "field_16" not in line
    assert len(line) < 10_000


@pytest.mark.parametrize("form", ["text", "json"])
def test_exception_is_on_the_same_line_and_keeps_its_end(form: str) -> None:
    """A traceback is one field of the line; when it is long its end stays."""

    def act() -> None:
        try:
            raise ValueError("x" * TRACE_LIMIT + "\nthe end")
        except ValueError:
            logging.getLogger("exporter.test").exception("failed")

    [line] = written(act, form=form)
    assert "failed" in line
    assert "the end" in line
    assert "(cut)…" in line


def test_message_whose_arguments_do_not_match_is_still_written() -> None:
    """A faulty logging call costs neither the line nor a traceback on stderr."""
    record = logging.makeLogRecord({"msg": "%d calls", "args": ("many",), "name": "exporter.test"})
    [line] = written(lambda: own_handler().handle(record))
    assert line.endswith("exporter.test: %d calls (its arguments do not match)")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('"GET /ws?token=s3cret HTTP/1.1" 101', '"GET /ws?… HTTP/1.1" 101'),
        ("ws://host:1/ws?token=s3cret", "ws://host:1/ws?…"),
        ("/ws?s3cret", "/ws?…"),
        ("wss://user:s3cret@host/ws", "wss://…@host/ws"),
        ("did you mean 'serve'? yes", "did you mean 'serve'? yes"),
        ("why?", "why?"),
    ],
)
def test_query_strings_and_passwords_are_cut_out(text: str, shown: str) -> None:
    """Queries and credentials of URLs never reach the log, in message, extra or traceback."""
    assert clean(text, 100) == shown

    def act() -> None:
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger("exporter.test").exception("%s", text, extra={"url": text})

    assert "s3cret" not in written(act)[0]


def test_level_is_kept() -> None:
    """Lines below the level are not written."""
    assert written(info("hello"), level="warning") == []
    assert len(written(info("hello"), level="debug")) == 1


def test_setup_twice_writes_once() -> None:
    """Setting up again replaces the handler."""
    setup("info", "json", io.StringIO())
    assert len(written(info("hello"))) == 1
    assert own_handler() is not None


def test_uvicorn_is_routed_and_its_access_log_is_silent() -> None:
    """uvicorn's warnings are in the exporter's format; its lines about every connection, which contain paths, are never written."""
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler())
    logging.getLogger("uvicorn.access").addHandler(logging.StreamHandler())

    def act() -> None:
        logging.getLogger("uvicorn.error").warning("Slow", extra={"color_message": "\x1b[1mSlow"})
        logging.getLogger("uvicorn.error").info('"WebSocket /ws/s3cret" [accepted]')
        logging.getLogger("websockets.server").debug("> Authorization: Bearer s3cret")

    [line] = written(act, level="debug")
    assert line.endswith("warning uvicorn.error: Slow")
    assert logging.getLogger("uvicorn").handlers == []
    assert not logging.getLogger("uvicorn.access").hasHandlers()


def test_python_warnings_are_log_lines() -> None:
    """A warning of Python's is a line of the log."""

    def act() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("old\nthing", UserWarning, stacklevel=1)
            logging.captureWarnings(False)

    [line] = written(act)
    assert "warning py.warnings: " in line
    assert "old\\nthing" in line


class Clock:
    """A clock that the test controls."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def passes(repeats: RepeatFilter, message: str = "lost %s", level: int = logging.WARNING) -> tuple[bool, int]:
    """Whether a record passes, and how many were suppressed before it."""
    record = logging.makeLogRecord({"name": "exporter.test", "levelno": level, "msg": message})
    return repeats.filter(record), getattr(record, "suppressed", 0)


def test_repeated_lines_are_suppressed_and_counted() -> None:
    """A repeated message passes a few times per window; the first of the next window has the number of suppressed ones."""
    clock = Clock()
    repeats = RepeatFilter(burst=3, window=60.0, now=clock)
    assert [passes(repeats)[0] for _ in range(10)] == [True] * 3 + [False] * 7
    clock.now += 59.9
    assert passes(repeats) == (False, 0)
    clock.now += 0.1
    assert passes(repeats) == (True, 8)
    assert passes(repeats) == (True, 0)


def test_other_messages_are_not_suppressed() -> None:
    """A flood of one message does not silence another, or the same at another level."""
    repeats = RepeatFilter(burst=1, now=Clock())
    assert [passes(repeats)[0] for _ in range(3)] == [True, False, False]
    assert passes(repeats, "found %s")[0]
    assert passes(repeats, level=logging.ERROR)[0]


def test_memory_of_messages_is_bounded() -> None:
    """However many messages there are, only so many are remembered."""
    repeats = RepeatFilter(burst=1, now=Clock())
    for number in range(RepeatFilter.MAX_REMEMBERED + 500):
        assert passes(repeats, f"message {number}")[0]
    assert not passes(repeats, f"message {RepeatFilter.MAX_REMEMBERED + 499}")[0]
    assert passes(repeats, "message 0")[0]


def test_the_number_of_suppressed_lines_is_in_the_line() -> None:
    """The number of suppressed lines is a field of the line."""
    record = logging.makeLogRecord({"msg": "lost", "levelname": "WARNING", "name": "exporter", "suppressed": 8})
    setup("info", "text", io.StringIO())
    assert own_handler().format(record).endswith("warning exporter: lost suppressed=8")


def test_flood_through_the_handler_is_limited() -> None:
    """The handler of the process suppresses repetitions, whatever their arguments."""

    def act() -> None:
        for number in range(100):
            info("peer %s", number)()

    assert len(written(act)) == 10


def test_a_reader_that_hangs_costs_lines_and_no_time() -> None:
    """Lines for a full pipe are dropped and counted beyond the limit; once the pipe is read, a line says how many."""
    before = lines_dropped()
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    setup("info", "text", stream)
    handler = own_handler()
    handler.filters.clear()
    lines = 3 * QUEUE_LIMIT
    for number in range(lines):
        handler.handle(logging.LogRecord("exporter.test", logging.INFO, "", 0, "line %d " + "x" * 200, (number,), None))
    os.set_blocking(reader, False)
    found = b""

    def accounted_for() -> bool:
        nonlocal found
        with contextlib.suppress(BlockingIOError):
            found += os.read(reader, 1 << 20)
        dropped = sum(map(int, re.findall(rb" (\d+) log lines dropped", found)))
        return dropped == lines_dropped() - before > 0 and dropped + found.count(b": line ") == lines

    eventually_sync(accounted_for, because="each line to be written or counted")
    handler.close()
    stream.close()
    os.close(reader)


def test_a_reader_that_is_gone_is_no_error() -> None:
    """Lines for a closed pipe are discarded."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        setup("info", "text", stream)
        info("nobody reads this")()
        own_handler().flush()
        own_handler().close()
