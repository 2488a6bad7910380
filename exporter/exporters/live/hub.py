"""The streams of /live: a few times a second what has changed is worked out once for all viewers. Nothing is worked out without one."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from exporter.exporters.live.channel import Channel
from exporter.exporters.live.last_minutes import STEP
from exporter.exporters.live.messages import Bye
from exporter.exporters.live.reader import CallReader
from exporter.exporters.live.state import LiveState, call_channel, update_call
from exporter.sessions.call_journal import CallJournal

FRAME: Final = 0.25
"""Seconds between two messages of a stream at least."""
LONGEST_FRAME: Final = 1.0
"""Seconds between two messages at most, while there is something new."""
_SHARE: Final = 1 / 150
"""Part of the processor's time that working out frames may take; with very many calls, frames are rarer."""
MOST_VIEWERS: Final = 32
"""Streams that may be open at once."""
_LOOK: Final = 1.0

log = logging.getLogger(__name__)


class TooManyViewersError(Exception):
    """No further stream can be opened."""


class _OpenCall:
    """An opened call: its channel, its reader, and how many viewers it has."""

    def __init__(self, journal: CallJournal, reader: CallReader, boot: str, now: Callable[[], float]) -> None:
        self.journal = journal
        self.boot = boot
        self.updating = asyncio.Lock()
        self.reader = reader
        self.channel = call_channel(now)
        self.viewers = 0


class Viewer:
    """One stream. ``seen`` is the number of the last message, ``None`` before the first."""

    def __init__(self, hub: "Hub", channel: Channel, boot: str, ended: Callable[[], Bye | None]) -> None:
        self._hub = hub
        self._channel = channel
        self._boot = boot
        self.ended = ended
        self.seen: int | None = None

    def resume(self, last_event_id: str | None) -> None:
        """Go on after the message with this id, if that is possible."""
        boot, _, number = (last_event_id or "").rpartition("-")
        if boot == self._boot and number.isascii() and number.isdigit() and len(number) < 16:
            self.seen = int(number) if self._channel.bridges(int(number)) else None

    def next_event(self) -> bytes | None:
        """The next event of the stream, if there is something new."""
        channel = self._channel
        if self.seen is None or not channel.bridges(self.seen):
            kind, data = "state", channel.state()
        elif channel.number > self.seen:
            kind, data = "change", channel.change_since(self.seen)
        else:
            return None
        self.seen = channel.number
        return b"event: %s\nid: %s-%d\ndata: %s\n\n" % (kind.encode(), self._boot.encode(), self.seen, data)

    async def next_frame(self, timeout: float) -> bool:  # noqa: ASYNC109 - as wait_for has it
        """Wait until there may be something new. Returns whether there may be."""
        return await self._hub.next_frame(timeout)


class Hub:
    """Works out the frames while there are viewers. ``now`` returns the time in unix seconds."""

    def __init__(self, state: LiveState, now: Callable[[], float]) -> None:
        self._state = state
        self.now = now
        self._list = state.list_channel(now)
        self._list_viewers = 0
        self._calls: dict[CallJournal, _OpenCall] = {}
        self._opened = 0
        self._frame = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._sampling: asyncio.Task[None] | None = None
        self._updating = asyncio.Lock()
        self.stopping = False

    @property
    def viewers(self) -> int:
        """How many streams are open."""
        return self._list_viewers + sum(call.viewers for call in self._calls.values())

    def start(self) -> None:
        """Start to sample the store."""
        self._sampling = asyncio.create_task(self._sample())

    async def stop(self) -> None:
        """End all streams with a last message."""
        self.stopping = True
        self._next_frame()
        for task in filter(None, (self._sampling, self._task)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def watch_list(self) -> AsyncIterator[Viewer]:
        """A viewer of the list. Raises :class:`TooManyViewersError`."""
        self._admit()
        self._list_viewers += 1
        try:
            await self._update_list(unless_done=True)
            self._start()
            yield Viewer(self, self._list, self._state.boot, self._stopped)
        finally:
            self._list_viewers -= 1
            if not self._list_viewers:
                self._state.forget_rows()

    @asynccontextmanager
    async def watch_call(self, journal: CallJournal) -> AsyncIterator[Viewer]:
        """A viewer of a call. Raises :class:`TooManyViewersError`."""
        self._admit()
        call = self._calls.get(journal)
        if call is None:
            self._opened += 1
            call = self._calls[journal] = _OpenCall(
                journal, self._state.reader(journal), f"{self._state.boot}.{self._opened}", self.now
            )
        call.viewers += 1
        try:
            await self._update_call(call, unless_done=True)
            self._start()

            def ended() -> Bye | None:
                return Bye(reason="gone") if journal.forgotten else self._stopped()

            yield Viewer(self, call.channel, call.boot, ended)
        finally:
            call.viewers -= 1
            if not call.viewers:
                self._calls.pop(journal, None)

    async def next_frame(self, timeout: float) -> bool:  # noqa: ASYNC109 - as wait_for has it
        """Wait for the next frame. Returns whether it came in time."""
        frame = self._frame
        if self.stopping:
            return True
        try:
            async with asyncio.timeout(timeout):
                await frame.wait()
        except TimeoutError:
            return False
        return True

    def _admit(self) -> None:
        if self.stopping or self.viewers >= MOST_VIEWERS:
            raise TooManyViewersError

    def _stopped(self) -> Bye | None:
        return Bye(reason="stopping") if self.stopping else None

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._frames())

    async def _frames(self) -> None:
        while self.viewers:
            begun, spent = time.monotonic(), 0.0
            try:
                spent = await self._update()
            except Exception:
                log.exception("internal error; /live was not updated")
            self._next_frame()
            pause = min(max(FRAME, spent / _SHARE), LONGEST_FRAME)
            await asyncio.sleep(max(0.0, begun + pause - time.monotonic()))

    async def _update(self) -> float:
        """Work out a frame. Returns the seconds that took."""
        spent = await self._update_list() if self._list_viewers else 0.0
        for call in list(self._calls.values()):
            if call.viewers and not call.journal.forgotten:
                spent += await self._update_call(call)
        return spent

    async def _update_list(self, *, unless_done: bool = False) -> float:
        async with self._updating:
            if unless_done and self._list_viewers > 1:
                return 0.0
            self._list.new_frame()
            return await _sliced(self._state.update_list(self._list, self.now(), self.viewers))

    async def _update_call(self, call: _OpenCall, *, unless_done: bool = False) -> float:
        async with call.updating:
            if unless_done and call.viewers > 1:
                return 0.0
            call.channel.new_frame()
            return await _sliced(update_call(self._state, call.channel, call.reader, call.journal, self.now()))

    def _next_frame(self) -> None:
        self._frame.set()
        self._frame = asyncio.Event()

    async def _sample(self) -> None:
        sampled_at = 0.0
        while True:
            now = self.now()
            try:
                self._state.look(now)
                if not 0 <= now - sampled_at < STEP:
                    sampled_at = now
                    self._state.otlp.sample(now)
                    await _sliced(self._state.last_minutes.sample(now))
            except Exception:
                log.exception("internal error; /live was not sampled")
            await asyncio.sleep(_LOOK)


async def _sliced(work: Iterator[object]) -> float:
    """Do the work. Between two slices of it the event loop serves the calls. Returns the seconds that the work took."""
    spent, begun = 0.0, time.perf_counter()
    for _ in work:
        spent += time.perf_counter() - begun
        await asyncio.sleep(0)
        begun = time.perf_counter()
    return spent + time.perf_counter() - begun
