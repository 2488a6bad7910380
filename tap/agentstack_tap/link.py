"""The tap's connection to the exporter. It is opened again whenever it breaks, in a thread and an event loop of its own."""

import asyncio
import contextlib
import inspect
import json
import logging
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

from agentstack_tap.buffer import Buffer

PROTOCOL_VERSION: Final = 1
SHORTEST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 10.0
"""Seconds between attempts. Each pause is twice the last one, and a random half of it is left out."""
ANSWER_WITHIN: Final = 10.0
"""Seconds the exporter gets to accept a connection, and to answer the hello."""
ROUND: Final = 0.02
"""Seconds between two looks for new events, while there are some."""
ROUNDS: Final = 50
"""Looks without a new event, after which the app has to wake the thread: that costs the app more than all else here."""
SENT_AT_ONCE: Final = 64
"""Messages sent before answers are looked at."""
_DIRECT: Final[dict[str, Any]] = {"proxy": None} if "proxy" in inspect.signature(connect).parameters else {}
"""Keeps websockets from the machine's proxy; before version 15 it knew of none."""
_chance: Final = random.Random()  # noqa: S311 - it only spreads attempts, and the app's own generator may be seeded

log = logging.getLogger("agentstack_tap")
_quiet = log.getChild("socket")
_quiet.setLevel(logging.WARNING)  # below that, websockets logs what callers say


@dataclass(frozen=True, slots=True)
class Where:
    """The exporter's address, and what the handshake carries."""

    url: str
    headers: dict[str, str]
    tls: ssl.SSLContext | None


class Link:
    """Sends what is in the buffer, as tap ``client``, until stopped."""

    def __init__(self, where: Where, client: str, buffer: Buffer) -> None:
        self._where = where
        self._client = client
        self._buffer = buffer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None
        self._wake, self._written = asyncio.Event(), asyncio.Event()
        self.awake = False
        """Whether the thread looks for new events by itself."""
        self._stopping = False
        self._may_end: Callable[[], bool] | None = None
        self.connected = False
        self._thread = Thread(target=self._run, name="agentstack-tap", daemon=True)

    def start(self) -> bool:
        """Begin to connect. Return whether the system has given a thread for it."""
        try:
            self._thread.start()
        except RuntimeError as error:  # there are too many threads, or Python exits
            log.warning("cannot connect to the exporter: %s", error)
            return False
        return True

    def wake(self) -> None:
        """Say that there is something to send; may be called from any thread."""
        if self._loop is not None:
            self.awake = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: it was stopped meanwhile
                self._loop.call_soon_threadsafe(self._wake.set)

    def finish(self, may_end: Callable[[], bool] | None) -> None:
        """End the connection and the thread once ``may_end`` says so, which is asked after each acknowledgement; ``None``: go on."""
        self._may_end = may_end
        if may_end is not None and self._loop is not None and not len(self._buffer):  # else an acknowledgement is still to come
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end_if_finished)

    def stop(self, within: float) -> None:
        """End the connection and the thread. Wait for that at most ``within`` seconds."""
        self._stopping = True
        if self._loop is not None and self._running is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._running.cancel)
        self._thread.join(within)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._keep_connected())

    async def _keep_connected(self) -> None:
        self._running = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self.awake = True
        self._end_if_finished()
        writing = asyncio.create_task(self._take_in())
        try:
            await self._connect_again_and_again()
        finally:
            writing.cancel()

    async def _take_in(self) -> None:
        """Write what the app has put into the buffer: at once when it wakes the thread, and then in rounds."""
        quiet = 0
        while True:
            quiet = 0 if self._buffer.take_in() else quiet + 1
            if not self._buffer.sent_all:
                self._written.set()
            if self._buffer.waiting:
                await asyncio.sleep(0)
            elif quiet <= ROUNDS:
                await asyncio.sleep(ROUND)
            else:
                await self._sleep()

    async def _sleep(self) -> None:
        """Sleep until the app wakes the thread. What it puts before it sees that the thread sleeps is found here."""
        self.awake = False
        self._wake.clear()
        if not self._buffer.waiting:
            await self._wake.wait()
        self.awake = True

    async def _connect_again_and_again(self) -> None:
        pause, reported = SHORTEST_PAUSE, False
        while not self._stopping:
            try:
                async with self._connect() as socket:
                    await self._talk(socket)
            except Exception as error:  # noqa: BLE001 - whatever it was, the customer's app goes on and so do we
                if not self.connected and not reported:
                    reported = True
                    log.warning("connection to the exporter failed; retrying: %s", str(error) or type(error).__name__)
            if self.connected:
                self.connected, reported, pause = False, False, SHORTEST_PAUSE
                log.info("connection to the exporter lost; reconnecting")
            self._buffer.rewind()
            await asyncio.sleep(pause * _chance.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _connect(self) -> connect:
        options = dict(_DIRECT)
        if self._where.tls is not None:  # websockets refuses ssl=None with wss://
            options["ssl"] = self._where.tls
        return connect(
            self._where.url,
            additional_headers=self._where.headers,
            compression=None,
            open_timeout=ANSWER_WITHIN,
            close_timeout=1.0,
            logger=_quiet,
            **options,
        )

    async def _talk(self, socket: ClientConnection) -> None:
        await socket.send(json.dumps({"hello": {"client": self._client, "version": PROTOCOL_VERSION}}))
        hello = json.loads(await asyncio.wait_for(socket.recv(), ANSWER_WITHIN))["hello"]
        if self._stopping:  # before Python 3.12 wait_for may swallow the cancellation
            return
        self._buffer.acked(int(hello["acked"]))
        self._buffer.largest = int(hello["max_event_bytes"])
        for resumption in self._buffer.resumptions():
            await socket.send(resumption)
        self.connected = True
        log.info("connected to the exporter")
        self._end_if_finished()
        writing = asyncio.create_task(self._write(socket))
        try:
            async for text in socket:
                self._take(json.loads(text))
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _write(self, socket: ClientConnection) -> None:
        turn = SENT_AT_ONCE
        while True:
            text = self._buffer.next()
            if text is None:
                self._written.clear()
                if self._buffer.sent_all:
                    await self._written.wait()
                continue
            await socket.send(text)
            turn -= 1
            if not turn:
                turn = SENT_AT_ONCE
                await asyncio.sleep(0)

    def _end_if_finished(self) -> None:
        may_end = self._may_end  # another thread may take it back
        if may_end is not None and not self._stopping and may_end():
            self._stopping = True
            if self._running is not None:
                self._running.cancel()

    def _take(self, answer: dict[str, Any]) -> None:
        if "ack" in answer:
            self._buffer.acked(int(answer["ack"]))
            self._buffer.resumed()
            self._end_if_finished()
        elif "state" in answer:
            self._buffer.keep(str(answer["session"]), str(answer["state"]))
        elif "error" in answer:
            if not self._buffer.refused:
                log.warning("the exporter refused a message, and may refuse more: %s", answer["error"])
            self._buffer.refused += 1
