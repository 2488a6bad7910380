"""The calls of taps: what outlives a tap's connection, so that its end ends no call and nothing counts twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from exporter.protocol.decoder import RejectionReason
from exporter.receivers.tap.envelope import DropReason, Envelope, Hello, MalformedError, Resume, is_there, read_envelope, unwrap

MOST_CALLS: Final = 2_000
"""Calls that one tap may carry at once."""
MOST_AWAY: Final = 256
"""Taps that are remembered while they are away; the one that is longest away makes room."""
_ENVELOPE: Final = 4_096
"""Bytes that an envelope may take besides its event."""
_ESCAPED: Final = 2
"""How many times its own size an event takes that is sent as a string, at most but for control characters."""


class Call(Protocol):
    """Where the events of one call go."""

    def consume(self, frame: str | bytes, now: float) -> bool:
        """Take in an event."""

    def resume(self, start: str | bytes | None, state: str | None, now: float) -> None:
        """Go on with a call that was counted before."""

    def hand_over(self, now: float) -> str | None:
        """What the next process has to know of the call, which is none of this one's any more."""

    def malformed(self, reason: RejectionReason) -> None:
        """A message came that no event could be taken from."""

    def ignore(self) -> None:
        """A message came that brings no event that counts."""

    def close(self, now: float) -> None:
        """The call's connection is gone."""

    @property
    def ended(self) -> bool:
        """Whether the call is over."""


class Counts(Protocol):
    """What taps report of themselves."""

    def tap_connected(self, change: int) -> None:
        """So many more taps are connected."""

    def tap_dropped(self, reason: str, events: int) -> None:
        """A tap could not send so many events."""

    def tap_duplicate(self) -> None:
        """An event came a second time."""


@dataclass(frozen=True, slots=True)
class TapLimits:
    """``event`` is the largest event in bytes.

    A call stays ``linger`` seconds after its end and ``silence`` after its last event, a tap ``silence`` after its connection.
    """

    event: int
    linger: float
    silence: float


@dataclass(slots=True)
class _Open:
    call: Call
    heard_at: float


@dataclass(slots=True, eq=False)
class Client:
    """One tap: ``seq`` is the number of the last message that was processed, ``left_at`` when its connection went (0: it is here)."""

    seq: int = 0
    left_at: float = 0.0
    connection: object = None
    calls: dict[str, _Open] = field(default_factory=dict)


class Clients:
    """All taps, and the calls they carry. ``call`` makes a call's way in from its name. Times are unix seconds."""

    def __init__(self, limits: TapLimits, call: Callable[[str], Call], counts: Counts) -> None:
        self._limits = limits
        self._call = call
        self._counts = counts
        self._nobody = call("")
        self._known: dict[str, Client] = {}

    def arrive(self, hello: Hello, connection: object) -> Client:
        """A tap connects, or comes back; what still comes on its earlier connection is not taken any more."""
        client = self._known.pop(hello.client, None) or Client()
        self._known[hello.client] = client
        client.connection, client.left_at = connection, 0.0
        self._nobody.ignore()
        self._counts.tap_connected(1)
        return client

    def leave(self, client: Client, connection: object, now: float) -> None:
        """A connection is gone; its calls go on."""
        self._counts.tap_connected(-1)
        if client.connection is not connection:
            return
        client.connection, client.left_at = None, now
        away = [name for name, known in self._known.items() if known.connection is None]
        for name in away[: max(0, len(away) - MOST_AWAY)]:
            self._forget(name, now)

    def take(self, client: Client, frame: str | bytes, now: float) -> str | None:
        """Take in a message; returns what is to be answered besides its number."""
        try:
            if len(frame) > _ESCAPED * self._limits.event + _ENVELOPE:
                return self._refuse(RejectionReason.TOO_LARGE, f"is longer than events of {self._limits.event} bytes need")
            envelope = read_envelope(frame)
        except MalformedError as problem:
            return self._refuse(RejectionReason.BAD_ENVELOPE, str(problem))
        if envelope.seq is not None:
            if envelope.seq <= client.seq:
                self._counts.tap_duplicate()
                self._nobody.ignore()
                return None
            client.seq = envelope.seq
        return self._process(client, envelope, now)

    def hand_over(self, client: Client, now: float) -> Iterator[tuple[str, str]]:
        """The names of the tap's calls, with what the next process has to know; none is this one's any more."""
        for name, entry in client.calls.items():
            state = entry.call.hand_over(now)
            if state is not None:
                yield name, state

    def sweep(self, now: float) -> None:
        """Let go of calls that are over or long silent, and of taps that are long away; to be called now and then."""
        for client in self._known.values():
            for name in [name for name, entry in client.calls.items() if self._is_over(entry, now)]:
                client.calls.pop(name).call.close(now)
        for name in [name for name, each in self._known.items() if each.left_at and now - each.left_at > self._limits.silence]:
            self._forget(name, now)

    def _process(self, client: Client, envelope: Envelope, now: float) -> str | None:
        name = envelope.session or ""
        if envelope.dropped is not None:
            self._report(envelope.dropped)
        elif envelope.end:
            self._end(client, name, now)
        elif name not in client.calls and len(client.calls) >= MOST_CALLS:
            return self._refuse(RejectionReason.TOO_MANY_CALLS, f"would be one more than the {MOST_CALLS} calls that a tap may carry")
        elif envelope.resume is not None:
            self._resume(client, name, envelope.resume, now)
        else:
            entry = client.calls.get(name)
            if entry is None:
                entry = client.calls[name] = _Open(self._call(name), now)
            entry.heard_at = now
            entry.call.consume(unwrap(envelope.event), now)
        return None

    def _resume(self, client: Client, name: str, resume: Resume, now: float) -> None:
        self._nobody.ignore()
        if name not in client.calls:
            entry = client.calls[name] = _Open(self._call(name), now)
            entry.call.resume(unwrap(resume.start) if is_there(resume.start) else None, resume.state, now)

    def _end(self, client: Client, name: str, now: float) -> None:
        self._nobody.ignore()
        entry = client.calls.pop(name, None)
        if entry is not None:
            entry.call.close(now)

    def _report(self, dropped: dict[DropReason, int]) -> None:
        self._nobody.ignore()
        for reason, events in dropped.items():
            self._counts.tap_dropped(reason, events)

    def _refuse(self, reason: RejectionReason, problem: str) -> str:
        self._nobody.malformed(reason)
        return msgspec.json.encode({"error": f"the message {problem}"}).decode()

    def _is_over(self, entry: _Open, now: float) -> bool:
        return now - entry.heard_at > (self._limits.linger if entry.call.ended else self._limits.silence)

    def _forget(self, name: str, now: float) -> None:
        for entry in self._known.pop(name).calls.values():
            entry.call.close(now)
