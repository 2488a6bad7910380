"""The truth file: one JSON line for each event that was sent, in the order of sending; and exact figures computed from it.

After the last event of a managed call, a line holds the platform's own account of the call.
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
"""No simulated caller waits longer. A value above it, or below 0, is one of the deliberately invalid values."""

_KIND_WITHIN = 80
"""The first bytes of a line; they show whether it holds an event or an account."""

TurnKey = tuple[str | None, float]
"""Identifies a turn within its session: the id of the sub-agent, if any, and the turn number."""


class Record(msgspec.Struct, frozen=True):
    """One line of a truth file. ``connection`` counts the call's connections from 0; ``sent_at`` is in unix seconds."""

    call: int
    session: str
    connection: int
    sent_at: float
    event: Event


class AccountRecord(msgspec.Struct, frozen=True):
    """A line of a truth file that holds the account of a call."""

    call: int
    session: str
    account: Account


class TruthWriter:
    """Writes a truth file. At the end of the ``with`` block everything is on disk."""

    def __init__(self, path: Path) -> None:
        """Replaces an existing file. Raises ``OSError`` if the file cannot be opened."""
        self._file = path.open("wb", buffering=1 << 20)

    def write(self, call: int, session: str, connection: int, frame: bytes) -> None:
        """Record that ``frame`` is sent now. The event's bytes are written as they are on the wire."""
        head = b'{"call":%d,"session":"%s","connection":%d,"sent_at":%.6f,"event":'
        self._file.write(head % (call, session.encode(), connection, time.time()) + frame + b"}\n")

    def write_account(self, call: int, session: str, account: Account) -> None:
        """Record the account of a call. All its events have been sent."""
        self._file.write(msgspec.json.encode(AccountRecord(call, session, account)) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def read_truth(path: Path) -> Iterator[Record]:
    """The events that were sent, in order, without the accounts. Raises ``ValueError`` naming an unreadable line."""
    return (line for line in _lines(path) if isinstance(line, Record))


def read_accounts(path: Path) -> Iterator[AccountRecord]:
    """The accounts of the calls that were played to their end. Raises ``ValueError`` naming an unreadable line."""
    return (line for line in _lines(path) if isinstance(line, AccountRecord))


def _lines(path: Path) -> Iterator[Record | AccountRecord]:
    events, accounts = msgspec.json.Decoder(Record), msgspec.json.Decoder(AccountRecord)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                # TruthWriter writes the fields in this order, and a session id holds no quotation mark.
                yield accounts.decode(line) if b',"account":{' in line[:_KIND_WITHIN] else events.decode(line)
            except msgspec.DecodeError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error


def turn_key(event: Event) -> TurnKey | None:
    """The turn that a ``turn.metrics`` or ``turn.completed`` reports; None if it has no turn number."""
    number = event.get("turn_number")
    return None if number is None else (event.get("agent_tool_id"), number)


def perceived_seconds(event: Event) -> float | None:
    """The wait that a ``turn.metrics`` reports, in seconds; None if nobody waited or the value is invalid."""
    value = event.get("user_perceived_ms")
    if event.get("agent_first") or not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value / 1000 if 0 <= value <= PLAUSIBLE_MS else None


def perceived_of(records: Iterable[Record]) -> list[float]:
    """User-perceived latency of every turn in the records, in seconds, sorted. A turn that is reported twice counts once."""
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
    """The smallest value with at least the share ``quantile`` (0..1) of ``ordered`` at or below it. Raises ``ValueError`` if empty."""
    if not ordered:
        raise ValueError("no values, no percentile")
    # Rounded first: 0.95 * 20 is 19.000000000000004, and must not become rank 20.
    return ordered[max(-int(-round(quantile * len(ordered), 9) // 1), 1) - 1]


def linear(ordered: Sequence[float], quantile: float) -> float:
    """The quantile (0..1), interpolated linearly between the two nearest ``ordered`` values. Raises ``ValueError`` if empty."""
    if not ordered:
        raise ValueError("no values, no percentile")
    position = quantile * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
