"""The tap itself: a thread of its own with a connection of its own, so that whoever hands it an event goes on at once."""

import asyncio
import contextlib
import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from exporter.tap.outbox import Outbox

LONGEST_PAUSE: Final = 5.0
"""Seconds between two attempts to connect, at most."""
_FIRST_PAUSE: Final = 0.1
_AT_ONCE: Final = 64
_VERSION: Final = 1

log = logging.getLogger("agentstack.tap")


@dataclass(frozen=True, slots=True)
class TapStats:
    """How a tap is doing: events waiting to be acknowledged, events dropped for want of room, and whether it is connected."""

    waiting: int
    dropped: int
    connected: bool


class Tap:
    """Sends events to an exporter at ``url``. Nothing here raises into the caller or waits for the network.

    ``token`` is the bearer token the exporter asks for. Up to ``most_events`` and ``most_bytes`` wait while the exporter is away; what
    comes then is dropped, counted, and reported to it.
    """

    def __init__(
        self, url: str, *, token: str | None = None, most_events: int = 20_000, most_bytes: int = 16 * 1024 * 1024, **options: Any
    ) -> None:
        self._url = url
        self._options = {"additional_headers": {"Authorization": f"Bearer {token}"} if token else None, "compression": None, **options}
        self._client = uuid.uuid4().hex
        self._outbox = Outbox(most_events, most_bytes)
        self._reported = 0
        self._connected = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self._stop: asyncio.Event | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def send(self, session_id: str, event: Mapping[str, Any] | str | bytes) -> bool:
        """Hand over an event of a call: as it came from the platform, or decoded. Returns whether there was room for it."""
        try:
            name = None
            if isinstance(event, bytes):
                event = event.decode()
            if not isinstance(event, str):
                found = event.get("type") or event.get("event")
                name = found if isinstance(found, str) else ""
                event = json.dumps(event, default=str, separators=(",", ":"))
            taken = self._outbox.put(str(session_id), event, name)
            self._wake()
        except Exception:
            self._outbox.dropped += 1
            log.debug("an event could not be handed over", exc_info=True)
            return False
        return taken

    @property
    def stats(self) -> TapStats:
        """How it is doing."""
        return TapStats(len(self._outbox), self._outbox.dropped, self._connected)

    def close(self, timeout: float = 5.0) -> bool:
        """Stop once everything was acknowledged, or after ``timeout`` seconds; returns whether it was."""
        deadline = time.monotonic() + timeout
        while len(self._outbox) and time.monotonic() < deadline and self._thread is not None:
            time.sleep(0.01)
        self._stopping.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(max(0.1, deadline - time.monotonic()))
        return not len(self._outbox)

    def _wake(self) -> None:
        if self._thread is None and not self._stopping.is_set():
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="agentstack-tap", daemon=True)
                    self._thread.start()
        loop, news, stop = self._loop, self._news, self._stop
        if loop is not None and news is not None and stop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(news.set)
                if self._stopping.is_set():
                    loop.call_soon_threadsafe(stop.set)

    def _run(self) -> None:
        try:
            asyncio.run(self._keep_sending())
        except Exception:
            log.exception("the tap has stopped")

    async def _keep_sending(self) -> None:
        self._loop, self._news, self._stop = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                async with connect(self._url, **self._options) as socket:
                    pause = _FIRST_PAUSE
                    await self._talk(socket)
            except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError, ValueError) as error:
                log.debug("no connection to the exporter: %s", type(error).__name__)
            self._connected = False
            if not self._stopping.is_set():
                await self._sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause = min(LONGEST_PAUSE, pause * 2)

    async def _sleep(self, seconds: float) -> None:
        assert self._stop is not None  # noqa: S101 - for the types
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _talk(self, socket: ClientConnection) -> None:
        await socket.send(json.dumps({"hello": {"client": self._client, "version": _VERSION}}))
        answer = json.loads(await socket.recv())
        self._outbox.acknowledge(int(answer["hello"]["seq"]))
        for context in self._outbox.rewind():
            await socket.send(context)
        self._connected = True
        hearing = asyncio.create_task(self._hear(socket))
        try:
            await self._say(socket, hearing)
        finally:
            hearing.cancel()

    async def _say(self, socket: ClientConnection, hearing: "asyncio.Task[None]") -> None:
        assert self._news is not None  # noqa: S101 - for the types
        while not self._stopping.is_set() and not hearing.done():
            self._news.clear()
            if self._outbox.dropped > self._reported:
                dropped = self._outbox.dropped
                await socket.send(json.dumps({"dropped": dropped - self._reported}))
                self._reported = dropped
            envelopes = self._outbox.unsent(_AT_ONCE)
            for envelope in envelopes:
                await socket.send(envelope)
            if not envelopes:
                waiting = asyncio.create_task(self._news.wait())
                await asyncio.wait((waiting, hearing), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()

    async def _hear(self, socket: ClientConnection) -> None:
        async for message in socket:
            said = json.loads(message)
            if "ack" in said:
                self._outbox.acknowledge(int(said["ack"]))
            else:
                log.warning("the exporter did not understand: %s", said.get("error"))
