"""The record of what a simulated platform sent: one JSON line an event, in the order of sending, and exact numbers from it.

After the last event of a managed call stands a line with the platform's own account of it.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from exporter.simulate.account import Account
from exporter.simulate.moments import Event

PLAUSIBLE_MS = 120_000
"""No simulated caller waits longer; what lies above, or below 0, is one of the deliberate bad values."""

_HEAD = 80
"""Bytes within which a line says whether it holds an event or an account."""

TurnKey = tuple[str | None, float]
"""What tells a turn from the others of its session: the sub-agent, if any, and the number."""


class Record(msgspec.Struct, frozen=True):
    """One line of a truth file: call number, session, connection of the call (from 0), unix seconds, and the event itself."""

    call: int
    session: str
    connection: int
    sent_at: float
    event: Event


class AccountRecord(msgspec.Struct, frozen=True):
    """A line with the account of a call instead of an event."""

    call: int
    session: str
    account: Account


class TruthWriter:
    """Writes a truth file. What was written is on disk when the ``with`` block is left."""

    def __init__(self, path: Path) -> None:
        """Raises ``OSError`` if the file cannot be opened; one that exists is replaced."""
        self._file = path.open("wb", buffering=1 << 20)

    def write(self, call: int, session: str, connection: int, frame: bytes) -> None:
        """Record that ``frame`` goes out now: the bytes of the event are kept as they are on the wire."""
        head = b'{"call":%d,"session":"%s","connection":%d,"sent_at":%.6f,"event":'
        self._file.write(head % (call, session.encode(), connection, time.time()) + frame + b"}\n")

    def write_account(self, call: int, session: str, account: Account) -> None:
        """Record what came of a call, all of whose events have gone out."""
        self._file.write(msgspec.json.encode(AccountRecord(call, session, account)) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def read_truth(path: Path) -> Iterator[Record]:
    """What was sent, in order, without the accounts. Raises ``ValueError`` naming the line that is neither."""
    return (line for line in _lines(path) if isinstance(line, Record))


def read_accounts(path: Path) -> Iterator[AccountRecord]:
    """The accounts of the calls that came to their end. Raises ``ValueError`` as :func:`read_truth` does."""
    return (line for line in _lines(path) if isinstance(line, AccountRecord))


def _lines(path: Path) -> Iterator[Record | AccountRecord]:
    events, accounts = msgspec.json.Decoder(Record), msgspec.json.Decoder(AccountRecord)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                # Names come in this order in lines of ours, and a session id holds no quotation mark.
                yield accounts.decode(line) if b',"account":{' in line[:_HEAD] else events.decode(line)
            except msgspec.DecodeError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error


def turn_key(event: Event) -> TurnKey | None:
    """Which turn of its session a ``turn.metrics`` or ``turn.completed`` is about; None if it has no number."""
    number = event.get("turn_number")
    return None if number is None else (event.get("agent_tool_id"), number)


def perceived_seconds(event: Event) -> float | None:
    """The wait a ``turn.metrics`` reports, in seconds; None where nobody waited or the value means nothing."""
    value = event.get("user_perceived_ms")
    if event.get("agent_first") or not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value / 1000 if 0 <= value <= PLAUSIBLE_MS else None


def perceived_of(records: Iterable[Record]) -> list[float]:
    """User-perceived latency of every turn in the records, in seconds and in rising order; a turn reported twice counts once."""
    seen: set[tuple[str, TurnKey | None]] = set()
    values = []
    for record in records:
        if record.event.get("type") != "turn.metrics":
            continue
        key = (record.session, turn_key(record.event))
        value = perceived_seconds(record.event)
        if value is not None and key not in seen:
            values.append(value)
        seen.add(key)
    return sorted(values)


def nearest_rank(ordered: Sequence[float], quantile: float) -> float:
    """The smallest value that at least ``quantile`` (0..1) of ``ordered`` do not exceed. Raises ``ValueError`` if empty."""
    if not ordered:
        raise ValueError("no values, no percentile")
    # Rounded first: 0.95 * 20 is 19.000000000000004, and must not become rank 20.
    return ordered[max(-int(-round(quantile * len(ordered), 9) // 1), 1) - 1]


def linear(ordered: Sequence[float], quantile: float) -> float:
    """The quantile (0..1) interpolated between the two nearest of the ``ordered`` values. Raises ``ValueError`` if empty."""
    if not ordered:
        raise ValueError("no values, no percentile")
    position = quantile * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
