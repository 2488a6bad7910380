"""The way in for taps: one connection carries many calls, each event in an envelope and acknowledged.

``{"hello": {"client": "…", "version": 1}}`` opens it and is answered ``{"hello": {"seq": n}}``, the last number taken in from that
client. ``{"session": "…", "seq": 17, "event": {…}}`` is answered, now and then, ``{"ack": 17}``: everything up to 17 is taken in. What
comes again is acknowledged and counts for nothing. ``{"session": "…", "context": {…}}`` tells what had been told before,
``{"dropped": n}`` what was lost on the other side. What is none of these is answered ``{"error": "…"}`` and the connection stays.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

HELLO: Final = ('{"hello"', b'{"hello"')
"""How the first message of a tap begins, as text and as bytes."""
ACK_AFTER: Final = 0.02
"""Seconds after which what was taken in is acknowledged, all of it at once."""
MOST_CLIENTS: Final = 10_000
"""Clients whose last number is remembered."""
MOST_SESSIONS: Final = 20_000
"""Calls of one connection that may go on at once."""
_LONGEST_NAME: Final = 256


class TappedFeed(Protocol):
    """Where the events of one call go."""

    def consume(self, frame: str | bytes, now: float) -> bool:
        """Take in an event."""

    def context(self, frame: str | bytes, now: float) -> None:
        """Take in what was counted before."""

    def close(self, now: float) -> None:
        """The tap is gone, the call is not."""

    @property
    def ended(self) -> bool:
        """Whether the call is over."""

    @property
    def silent(self) -> bool:
        """Whether it has ended because nothing was heard of it."""


class Taps(Protocol):
    """What the core offers taps."""

    def feed(self, session: str) -> TappedFeed:
        """A way in for one call."""

    def misunderstood(self) -> None:
        """A message came that is no envelope."""

    def repeated(self) -> None:
        """An event came that had been taken in before."""

    def dropped(self, count: int) -> None:
        """So many events were lost in the tap."""


class _Hello(msgspec.Struct):
    client: str
    version: int = 1


_NOTHING: Final = msgspec.Raw()


class _Envelope(msgspec.Struct):
    hello: _Hello | None = None
    session: str | None = None
    seq: int | None = None
    event: msgspec.Raw = _NOTHING
    context: msgspec.Raw = _NOTHING
    dropped: int | None = None


_decoder: Final = msgspec.json.Decoder(_Envelope)


class Clients:
    """The last number taken in from each client, so that what it sends again after a broken connection counts once."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def last(self, client: str) -> int:
        """The last number, 0 for a client that is new."""
        return self._last.get(client, 0)

    def note(self, client: str, seq: int) -> None:
        """This one is taken in."""
        self._last.pop(client, None)
        self._last[client] = seq
        if len(self._last) > MOST_CLIENTS:
            del self._last[next(iter(self._last))]


class TapConnection:
    """One tap's connection; ``tell`` sends it a text."""

    def __init__(self, taps: Taps, clients: Clients, tell: Callable[[str], Any]) -> None:
        self._taps = taps
        self._clients = clients
        self._tell = tell
        self._client = ""
        self._feeds: dict[str, TappedFeed] = {}
        self._over: dict[str, float] = {}
        self._acknowledged = self._taken = 0
        self._due: asyncio.TimerHandle | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def take(self, frame: str | bytes, now: float) -> None:
        """Take in a message received at ``now`` (unix seconds)."""
        try:
            envelope = _decoder.decode(frame)
            self._understand(envelope, now)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
            self._taps.misunderstood()
            why = str(error) if isinstance(error, _MisunderstoodError) else "this is no envelope"
            self._say({"error": f"{why}; expected hello, or session with seq and event, or session with context, or dropped"})

    async def flush(self) -> None:
        """Acknowledge what was taken in; to be awaited before the connection is closed."""
        self._acknowledge()
        if self._telling:
            await asyncio.wait(self._telling, timeout=1.0)

    def sweep(self, now: float, linger: float) -> None:
        """Let go of calls that have been over for ``linger`` seconds, so that late events still count, and of silent ones."""
        over = [session for session, since in self._over.items() if now - since >= linger]
        for session in [*over, *(session for session, feed in self._feeds.items() if feed.silent and session not in self._over)]:
            self._over.pop(session, None)
            self._feeds.pop(session).close(now)

    def close(self, now: float) -> None:
        """The connection is gone; the calls go on."""
        if self._due is not None:
            self._due.cancel()
        for feed in self._feeds.values():
            feed.close(now)
        self._feeds.clear()

    def _understand(self, envelope: _Envelope, now: float) -> None:
        if envelope.hello is not None:
            self._greet(envelope.hello.client)
        elif not self._client:
            raise _MisunderstoodError("the first message is not hello")
        elif envelope.dropped is not None:
            self._taps.dropped(max(0, envelope.dropped))
        elif envelope.session is None:
            raise _MisunderstoodError("session is missing")
        elif bytes(envelope.context):
            self._feed(envelope.session, now).context(bytes(envelope.context), now)
        elif not bytes(envelope.event) or envelope.seq is None:
            raise _MisunderstoodError("seq or event is missing")
        else:
            self._event(envelope.session, envelope.seq, bytes(envelope.event), now)

    def _greet(self, client: str) -> None:
        if not client or len(client) > _LONGEST_NAME:
            raise _MisunderstoodError("client is no name")
        self._client = client
        self._taken = self._acknowledged = self._clients.last(client)
        self._say({"hello": {"seq": self._taken}})

    def _event(self, session: str, seq: int, event: bytes, now: float) -> None:
        if seq <= self._taken:
            self._taps.repeated()
            self._acknowledged = min(self._acknowledged, seq - 1)
        else:
            feed = self._feed(session, now)
            feed.consume(event, now)
            if feed.ended:
                self._over.setdefault(session, now)
            self._taken = seq
            self._clients.note(self._client, seq)
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(ACK_AFTER, self._acknowledge)

    def _feed(self, session: str, now: float) -> TappedFeed:
        feed = self._feeds.get(session)
        if feed is None:
            if not session or len(session) > _LONGEST_NAME:
                raise _MisunderstoodError("session is no name")
            if len(self._feeds) >= MOST_SESSIONS:
                self._make_room(now)
            feed = self._feeds[session] = self._taps.feed(session)
        return feed

    def _make_room(self, now: float) -> None:
        """Let go of calls that are over, else of the one that began first."""
        over = [session for session, feed in self._feeds.items() if feed.ended] or [next(iter(self._feeds))]
        for session in over:
            self._over.pop(session, None)
            self._feeds.pop(session).close(now)

    def _acknowledge(self) -> None:
        self._due = None
        if self._taken > self._acknowledged:
            self._acknowledged = self._taken
            self._say({"ack": self._taken})

    def _say(self, message: dict[str, Any]) -> None:
        task = asyncio.get_running_loop().create_task(self._tell(msgspec.json.encode(message).decode()))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


class _MisunderstoodError(ValueError):
    """An envelope lacks something; the text says what."""
