"""Taps and their calls. Both outlive the connection of a tap, so its end ends no call and no event counts twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from exporter.bounded_dict import BoundedDict
from exporter.protocol.arriving_event import ArrivingEvent
from exporter.protocol.long_event import LONGEST_EVENT
from exporter.protocol.reasons import FrameRejected, RejectionReason
from exporter.receivers.feed_interfaces import TapFeedProtocol
from exporter.receivers.observer_interfaces import TapObserver
from exporter.receivers.tap.arriving_envelope import MOST_AROUND, ArrivingEnvelope
from exporter.receivers.tap.envelope import Envelope, Hello, MalformedError, Resume, is_present, read_envelope, unwrap

MAX_CALLS: Final = 2_000
"""Calls that one tap may carry at the same time."""
MAX_DISCONNECTED: Final = 256
"""Disconnected taps that are remembered. One more evicts the tap that has been disconnected longest."""
_TOO_LONG: Final = f"is too long: an event may have at most {LONGEST_EVENT} bytes"
_STRING_FACTOR: Final = 3
"""An event sent as a JSON string takes at most this many times its own size, unless it is full of control characters.

Quotes take twice their size, and a letter of two bytes that is written as ``\\u00e9`` takes three times its size.
"""


def largest_message(event: int) -> int:
    """The largest message that is read, in bytes, if an event may have ``event`` bytes."""
    return _STRING_FACTOR * event + 2 * MOST_AROUND


@dataclass(frozen=True, slots=True)
class TapLimits:
    """Limits of taps. Times are in seconds.

    ``event`` is the largest event that is read in full, in bytes. A call is kept for ``linger`` after its end and ``silence`` after its
    last event; a tap is kept for ``silence`` after its connection has ended.
    """

    event: int
    linger: float
    silence: float


@dataclass(slots=True)
class _OpenCall:
    feed: TapFeedProtocol
    received_at: float


@dataclass(slots=True, eq=False)
class TapClient:
    """One tap.

    ``seq`` is the number of the last processed message. ``connection`` identifies the current connection, or is ``None`` since
    ``disconnected_at`` (unix seconds; 0 while connected).
    """

    name: str
    seq: int = 0
    disconnected_at: float = 0.0
    connection: object = None
    calls: dict[str, _OpenCall] = field(default_factory=dict)


class TapClients:
    """All taps and their calls. ``open_feed`` makes the feed of a call from its name. Times are unix seconds."""

    def __init__(self, limits: TapLimits, open_feed: Callable[[str], TapFeedProtocol], observer: TapObserver) -> None:
        self._limits = limits
        self._open_feed = open_feed
        self._observer = observer
        self._no_call = open_feed("")
        self._connected: dict[str, TapClient] = {}
        self._disconnected: BoundedDict[str, TapClient] = BoundedDict(MAX_DISCONNECTED)

    def connect(self, hello: Hello, connection: object) -> TapClient:
        """A tap connects or reconnects. Messages on an earlier connection of it are ignored from now on."""
        name = hello.client
        client = self._connected.get(name) or self._disconnected.pop(name, None) or TapClient(name)
        self._connected[name] = client
        client.connection, client.disconnected_at = connection, 0.0
        self._no_call.ignore()
        self._observer.tap_connected()
        return client

    def disconnect(self, client: TapClient, connection: object, now: float) -> None:
        """A connection has ended. The calls of the tap go on."""
        self._observer.tap_disconnected()
        if client.connection is not connection:
            return
        client.connection, client.disconnected_at = None, now
        del self._connected[client.name]
        evicted = self._disconnected.add(client.name, client)
        if evicted is not None:
            self._close_calls(evicted[1], now)

    @property
    def max_event(self) -> int:
        """The largest event that is read in full, in bytes."""
        return self._limits.event

    def process(self, client: TapClient, frame: str | bytes | ArrivingEnvelope, now: float) -> str | None:
        """Process a message. Returns the answer to send besides the acknowledgement, if any."""
        try:
            envelope, event = _opened(frame)
        except MalformedError as problem:
            return self._reject(RejectionReason.BAD_ENVELOPE, str(problem))
        except FrameRejected as rejection:
            is_long = rejection.reason is RejectionReason.TOO_LARGE
            return self._reject(rejection.reason, _TOO_LONG if is_long else f"cannot be read: {rejection.reason}")
        if envelope.seq is not None:
            if envelope.seq <= client.seq:
                self._observer.tap_duplicate()
                self._no_call.ignore()
                return None
            client.seq = envelope.seq
        if isinstance(event, ArrivingEvent) and event.size > LONGEST_EVENT:
            return self._reject(RejectionReason.TOO_LARGE, _TOO_LONG)
        return self._dispatch(client, envelope, event, now)

    def lost(self) -> None:
        """Count a message for which there was no room."""
        self._no_call.malformed(RejectionReason.TOO_LARGE)

    def hand_off(self, client: TapClient, now: float) -> Iterator[tuple[str, str]]:
        """Detach the calls of a tap from this process. Yields name and state of each call that the next process can continue."""
        for name, call in client.calls.items():
            state = call.feed.hand_off(now)
            if state is not None:
                yield name, state

    def sweep(self, now: float) -> None:
        """Close calls that are over or silent for too long, and forget taps that stay away. To be called about once a second."""
        for clients in (self._connected, self._disconnected):
            for client in clients.values():
                for name in [name for name, call in client.calls.items() if self._has_expired(call, now)]:
                    client.calls.pop(name).feed.close(now)
        for client in [each for each in self._disconnected.values() if now - each.disconnected_at > self._limits.silence]:
            del self._disconnected[client.name]
            self._close_calls(client, now)

    def _dispatch(self, client: TapClient, envelope: Envelope, event: str | bytes | ArrivingEvent, now: float) -> str | None:
        name = envelope.session or ""
        if envelope.dropped is not None:
            self._no_call.ignore()
            for reason, events in envelope.dropped.items():
                self._observer.tap_dropped(reason, events)
        elif envelope.end:
            self._end(client, name, now)
        elif name not in client.calls and len(client.calls) >= MAX_CALLS:
            return self._reject(RejectionReason.TOO_MANY_CALLS, f"would open one more than the {MAX_CALLS} calls that a tap may carry")
        elif envelope.resume is not None:
            self._resume(client, name, envelope.resume, event, now)
        else:
            call = client.calls.get(name)
            if call is None:
                call = client.calls[name] = _OpenCall(self._open_feed(name), now)
            call.received_at = now
            call.feed.consume(event, now)
        return None

    def _resume(self, client: TapClient, name: str, resume: Resume, start: str | bytes | ArrivingEvent, now: float) -> None:
        self._no_call.ignore()
        if name not in client.calls:
            call = client.calls[name] = _OpenCall(self._open_feed(name), now)
            call.feed.resume(_document(start), resume.state, now)

    def _end(self, client: TapClient, name: str, now: float) -> None:
        self._no_call.ignore()
        call = client.calls.pop(name, None)
        if call is not None:
            call.feed.close(now)

    def _reject(self, reason: RejectionReason, problem: str) -> str:
        self._no_call.malformed(reason)
        return msgspec.json.encode({"error": f"the message {problem}"}).decode()

    def _has_expired(self, call: _OpenCall, now: float) -> bool:
        return now - call.received_at > (self._limits.linger if call.feed.ended else self._limits.silence)

    def _close_calls(self, client: TapClient, now: float) -> None:
        for call in client.calls.values():
            call.feed.close(now)


def _opened(frame: str | bytes | ArrivingEnvelope) -> tuple[Envelope, str | bytes | ArrivingEvent]:
    """The envelope and the event in it, which is empty if there is none. If a call is resumed, it is the call's first event."""
    if isinstance(frame, ArrivingEnvelope):
        event = frame.event
        return frame.envelope(), bytes(event) if isinstance(event, bytearray) else event
    envelope = read_envelope(frame)
    inner = envelope.event if envelope.resume is None else envelope.resume.start
    return envelope, unwrap(inner) if is_present(inner) else b""


def _document(event: str | bytes | ArrivingEvent) -> str | bytes | None:
    """The document of an event, shortened if it is long, or ``None`` if there is none."""
    try:
        return (event.document() if isinstance(event, ArrivingEvent) else event) or None
    except FrameRejected:
        return None
