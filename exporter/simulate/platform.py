"""The platform's end of the socket: opens a connection for a call, plays the events into it and hears what the app says."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.protocol import State

from exporter import __version__
from exporter.simulate.account import Account
from exporter.simulate.call import SESSION_ENDS, SESSION_STARTS, Call, event_name
from exporter.simulate.moments import Event
from exporter.simulate.truth import TruthWriter, TurnKey, perceived_seconds, turn_key

_SWITCHES = {
    "turn.metrics": "metrics_events",
    "user.speech_started": "vad_events",
    "user.speech_stopped": "vad_events",
    "vad.speech_started": "vad_events",
    "vad.speech_stopped": "vad_events",
    "user.turn_completed": "turn_events",
    "turn.completed": "turn_events",
    "turn.detected": "turn_events",
}
_SUBSCRIPTION_GRACE = 0.5  # seconds a fast-forwarded call waits for the subscription, which a real call has plenty of time for
_HANG_UP_TIMEOUT = 2.0  # seconds the peer has to notice that the line is gone
_EVENTS_BETWEEN_BREATHS = 32


class PlayError(Exception):
    """A call could not be played to its end; the message is for people and names the URL."""


class RefusedError(PlayError):
    """No connection could be opened at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where and how calls are played. ``speed`` is a factor, 0 means as fast as the peer reads.

    With ``opt_in`` the diagnostic events are withheld until the app asks for them, as the live platform does. ``token`` is the bearer
    token to show.
    """

    url: str
    speed: float = 1.0
    opt_in: bool = False
    open_timeout: float = 10.0
    token: str | None = field(default=None, repr=False)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one call. ``perceived`` are seconds, one for each turn whose wait was reported; ``account`` comes at its end."""

    number: int
    session_id: str
    connections: int = 0
    events: int = 0
    withheld: int = 0
    turns: set[TurnKey] = field(default_factory=set)
    perceived: dict[TurnKey, float | None] = field(default_factory=dict)
    subscribed: bool = False
    commands: Counter[str] = field(default_factory=Counter)
    failure: str | None = None
    refused: bool = False
    account: Account | None = None


def shown_url(url: str) -> str:
    """The URL without what may be secret in it: user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Player:
    """Plays one call. :attr:`outcome` tells at any time how far it got, also after a cancellation."""

    def __init__(self, call: Call, line: Line, truth: TruthWriter | None = None) -> None:
        """``truth`` records every event as it is sent."""
        self.outcome = Outcome(number=call.number, session_id=call.session_id)
        self._call = call
        self._line = line
        self._truth = truth
        self._encode = msgspec.json.Encoder().encode
        self._socket: ClientConnection | None = None
        self._listener: asyncio.Task[None] | None = None
        self._ended = False
        self._switches: dict[str, Any] = {}
        self._asked = asyncio.Event()

    async def play(self, started_at: float) -> Outcome:
        """Play the call to its end, its time stamps counting from ``started_at`` (unix seconds).

        A call that fails is told in the outcome, not raised. Cancelled, it drops the line; what was sent so far arrives.
        """
        try:
            await self._play_steps(started_at)
            await (self._close() if self._ended else self._drop())
        except PlayError as error:
            self.outcome.failure = str(error)
            self.outcome.refused = isinstance(error, RefusedError)
        except ConnectionClosed as error:
            # An app may close once the session is over; a platform with something left to say keeps it to itself.
            if not self._ended:
                code = error.rcvd.code if error.rcvd else 1006
                self.outcome.failure = f"{shown_url(self._line.url)} closed the connection in mid-call (code {code})"
        finally:
            await self._drop()
        return self.outcome

    async def _play_steps(self, started_at: float) -> None:
        loop, speed = asyncio.get_running_loop(), self._line.speed
        begun = loop.time()
        for count, (offset, event) in enumerate(self._call.steps(started_at, self._take)):
            name = event_name(event)
            if name in SESSION_STARTS:
                await self._drop()  # a second start: the call comes back on another connection
            if speed:
                await asyncio.sleep(begun + offset / speed - loop.time())
            elif count % _EVENTS_BETWEEN_BREATHS == 0:
                await asyncio.sleep(0)
            if name in SESSION_STARTS:
                await self._connect()
            if await self._may_send(name):
                await self._send(name, event)
            else:
                self.outcome.withheld += 1
            self._ended = self._ended or name in SESSION_ENDS

    def _take(self, account: Account) -> None:
        self.outcome.account = account
        if self._truth is not None:
            self._truth.write_account(self._call.number, self._call.session_id, account)

    async def _may_send(self, name: str) -> bool:
        if not self._line.opt_in or name not in _SWITCHES:
            return True
        if not self._asked.is_set() and not self._line.speed and not self.outcome.withheld:
            try:
                async with asyncio.timeout(_SUBSCRIPTION_GRACE):
                    await self._asked.wait()
            except TimeoutError:
                pass
        return bool(self._switches.get(_SWITCHES[name]))

    async def _send(self, name: str, event: Event) -> None:
        socket, frame = self._connected(), self._encode(event)
        if socket.state is State.OPEN:
            # Noted before the write: a call that is cut off while the peer does not read has sent this frame all the same.
            self._note(name, event, frame)
        await socket.send(frame, text=True)

    def _note(self, name: str, event: Event, frame: bytes) -> None:
        outcome = self.outcome
        outcome.events += 1
        if self._truth is not None:
            self._truth.write(self._call.number, self._call.session_id, outcome.connections - 1, frame)
        if name in ("turn.metrics", "turn.completed") and (key := turn_key(event)) is not None:
            outcome.turns.add(key)
            if name == "turn.metrics":
                outcome.perceived.setdefault(key, perceived_seconds(event))

    async def _connect(self) -> None:
        line = self._line
        try:
            self._socket = await connect(
                line.url,
                compression=None,
                proxy=None,
                ping_interval=None,
                open_timeout=line.open_timeout,
                additional_headers={"Authorization": f"Bearer {line.token}"} if line.token else None,
                user_agent_header=f"agentstack-exporter-simulate/{__version__}",
            )
        except (OSError, InvalidHandshake, InvalidURI) as error:
            raise RefusedError(f"cannot connect to {shown_url(line.url)}: {_reason(error)}") from error
        self.outcome.connections += 1
        self._listener = asyncio.create_task(self._listen(self._socket))

    def _connected(self) -> ClientConnection:
        if self._socket is None:
            raise PlayError(f"call {self._call.number} does not begin with the start of a session")
        return self._socket

    async def _listen(self, socket: ClientConnection) -> None:
        try:
            async for message in socket:
                self._hear(message)
        except ConnectionClosed:
            pass  # the next send says so

    def _hear(self, message: str | bytes) -> None:
        try:
            command = msgspec.json.decode(message)
            name = str(command.get("type") or command.get("event"))
        except (msgspec.DecodeError, AttributeError):
            self.outcome.commands["unreadable"] += 1
            return
        self.outcome.commands[name] += 1
        switches = command.get("events")
        if name == "agent_session.update" and isinstance(switches, dict):
            self._switches.update(switches)
            self.outcome.subscribed = True
            self._asked.set()

    async def _close(self) -> None:
        """The platform hangs up properly: everything sent has arrived when the closing handshake is through."""
        await self._connected().close()
        await self._stop_listening()

    async def _drop(self) -> None:
        """The line goes dead without a goodbye. What was sent still arrives: we shut our half, then the peer its own."""
        socket = self._socket
        if socket is None:
            return
        if not socket.transport.is_closing():
            if socket.transport.can_write_eof():
                socket.transport.write_eof()
            else:
                socket.transport.close()
            try:
                async with asyncio.timeout(_HANG_UP_TIMEOUT):
                    await socket.wait_closed()
            except TimeoutError:
                socket.transport.abort()
        await self._stop_listening()

    async def _stop_listening(self) -> None:
        self._socket = None
        if self._listener is not None:
            await self._listener
            self._listener = None


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        return f"it answered with HTTP status {error.response.status_code}"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return str(error) or type(error).__name__
