"""The platform's end of the WebSocket: open a connection for each call, send its events and read the app's commands."""

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
_SUBSCRIPTION_TIMEOUT = 0.5  # seconds that a call at speed 0 waits for the app's subscription
_CLOSE_TIMEOUT = 2.0  # seconds the peer has to close its half of the connection
_EVENTS_PER_YIELD = 32


class PlayError(Exception):
    """A call could not be played to its end. The message names the URL."""


class RefusedError(PlayError):
    """The connection could not be opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayConfig:
    """Where and how calls are played. ``speed`` is a factor on the call's pace; 0 sends as fast as the peer reads.

    With ``opt_in`` the diagnostic events are withheld until the app subscribes to them, as on the live platform. ``open_timeout`` is in
    seconds. ``token`` is the bearer token to send.
    """

    url: str
    speed: float = 1.0
    opt_in: bool = False
    open_timeout: float = 10.0
    token: str | None = field(default=None, repr=False)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The outcome of one call. ``perceived`` is the reported wait of each turn in seconds; ``account`` is set at the call's end."""

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
    """The URL without its possible secrets: user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Player:
    """Plays one call. :attr:`outcome` says at any time how far it got, even after a cancellation."""

    def __init__(self, call: Call, config: PlayConfig, truth: TruthWriter | None = None) -> None:
        """``truth`` records every event as it is sent."""
        self.outcome = Outcome(number=call.number, session_id=call.session_id)
        self._call = call
        self._config = config
        self._truth = truth
        self._encode = msgspec.json.Encoder().encode
        self._socket: ClientConnection | None = None
        self._listener: asyncio.Task[None] | None = None
        self._ended = False
        self._switches: dict[str, Any] = {}
        self._subscription = asyncio.Event()

    async def play(self, started_at: float) -> Outcome:
        """Play the call to its end. Its time stamps count from ``started_at`` (unix seconds).

        A failure is in the outcome and is not raised. A cancelled call drops its connection; what was sent so far still arrives.
        """
        try:
            await self._play_steps(started_at)
            await (self._close() if self._ended else self._drop())
        except PlayError as error:
            self.outcome.failure = str(error)
            self.outcome.refused = isinstance(error, RefusedError)
        except ConnectionClosed as error:
            # An app may close once the session is over. Events that are left are not sent, and that is no failure.
            if not self._ended:
                code = error.rcvd.code if error.rcvd else 1006
                self.outcome.failure = f"{shown_url(self._config.url)} closed the connection in mid-call (code {code})"
        finally:
            await self._drop()
        return self.outcome

    async def _play_steps(self, started_at: float) -> None:
        loop, speed = asyncio.get_running_loop(), self._config.speed
        begun = loop.time()
        for count, (offset, event) in enumerate(self._call.steps(started_at, self._record_account)):
            name = event_name(event)
            if name in SESSION_STARTS:
                await self._drop()  # a second start: the call resumes on another connection
            if speed:
                await asyncio.sleep(begun + offset / speed - loop.time())
            elif count % _EVENTS_PER_YIELD == 0:
                await asyncio.sleep(0)
            if name in SESSION_STARTS:
                await self._connect()
            if await self._is_subscribed(name):
                await self._send(name, event)
            else:
                self.outcome.withheld += 1
            self._ended = self._ended or name in SESSION_ENDS

    def _record_account(self, account: Account) -> None:
        self.outcome.account = account
        if self._truth is not None:
            self._truth.write_account(self._call.number, self._call.session_id, account)

    async def _is_subscribed(self, name: str) -> bool:
        if not self._config.opt_in or name not in _SWITCHES:
            return True
        if not self._subscription.is_set() and not self._config.speed and not self.outcome.withheld:
            try:
                async with asyncio.timeout(_SUBSCRIPTION_TIMEOUT):
                    await self._subscription.wait()
            except TimeoutError:
                pass
        return bool(self._switches.get(_SWITCHES[name]))

    async def _send(self, name: str, event: Event) -> None:
        socket, frame = self._open_socket(), self._encode(event)
        if socket.state is State.OPEN:
            # Recorded before the write: if the call is cancelled while the peer does not read, this frame has been sent all the same.
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
        config = self._config
        try:
            self._socket = await connect(
                config.url,
                compression=None,
                proxy=None,
                ping_interval=None,
                open_timeout=config.open_timeout,
                additional_headers={"Authorization": f"Bearer {config.token}"} if config.token else None,
                user_agent_header=f"agentstack-exporter-simulate/{__version__}",
            )
        except (OSError, InvalidHandshake, InvalidURI) as error:
            raise RefusedError(f"cannot connect to {shown_url(config.url)}: {_reason(error)}") from error
        self.outcome.connections += 1
        self._listener = asyncio.create_task(self._listen(self._socket))

    def _open_socket(self) -> ClientConnection:
        if self._socket is None:
            raise PlayError(f"call {self._call.number} does not begin with session.started or start")
        return self._socket

    async def _listen(self, socket: ClientConnection) -> None:
        try:
            async for message in socket:
                self._receive(message)
        except ConnectionClosed:
            pass  # the next send raises it

    def _receive(self, message: str | bytes) -> None:
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
            self._subscription.set()

    async def _close(self) -> None:
        """Close with the closing handshake: when it is done, everything sent has arrived."""
        await self._open_socket().close()
        await self._stop_listening()

    async def _drop(self) -> None:
        """Drop the connection without a closing handshake. What was sent still arrives: this half closes first, then the peer's."""
        socket = self._socket
        if socket is None:
            return
        if not socket.transport.is_closing():
            if socket.transport.can_write_eof():
                socket.transport.write_eof()
            else:
                socket.transport.close()
            try:
                async with asyncio.timeout(_CLOSE_TIMEOUT):
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
