"""The tap as a customer's app uses it."""

import atexit
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from agentstack_tap import process
from agentstack_tap.buffer import Buffer, DropReason, Write
from agentstack_tap.link import Link, Where
from agentstack_tap.writing import Writer, characters_of, unchanging

MOST_EVENTS: Final = 10_000
MOST_CHARACTERS: Final = 16 * 1024 * 1024
"""Default bounds of what is kept until the exporter has counted it."""
_AT_EXIT: Final = 2.0
"""Seconds that the last events get when the app's process ends."""
_UNMADE: Final = 1_000
"""Characters that events count for which are not made yet."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What became of the events so far.

    ``acknowledged`` messages reached the exporter, which counted them or, for ``refused`` of them, could not read them. ``buffered``
    ones wait. ``dropped`` ones are never sent, by reason: ``overflow`` (the buffer was full), ``too_large``, ``unreadable`` (no JSON).
    """

    connected: bool
    acknowledged: int
    refused: int
    buffered: int
    dropped: dict[DropReason, int]


class Tap:
    """Sends calls' events to the exporter at ``url`` (``ws://127.0.0.1:8790/ws``).

    ``token`` is the bearer token, if the exporter asks for one. ``tls`` replaces the default certificate checks of a ``wss://`` URL.
    ``framework`` and ``framework_version`` name what feeds the sessions, where it is not AgentStack; ``session.started`` carries them.
    Nothing is opened before the first event, or :meth:`open`. All methods may be called from any thread; those for events never raise
    and never wait.

    Raises ``ValueError`` for a URL that is no WebSocket's, and for ``tls`` without ``wss://``.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        framework: str | None = None,
        framework_version: str | None = None,
        max_events: int = MOST_EVENTS,
        max_characters: int = MOST_CHARACTERS,
    ) -> None:
        if urlsplit(url).scheme not in ("ws", "wss"):
            raise ValueError("the exporter's URL begins with ws:// or wss://, as in ws://127.0.0.1:8790/ws")
        if tls is not None and urlsplit(url).scheme != "wss":
            raise ValueError("tls needs a URL that begins with wss://")
        self._where = Where(url, {} if token is None else {"Authorization": f"Bearer {token}"}, tls)
        self._buffer = Buffer(max_events, max_characters)
        self._bounds = (max_events, max_characters)
        named = {"framework": framework, "framework_version": framework_version}
        self._writer = Writer({name: value for name, value in named.items() if value})
        self._starting = Lock()
        self._link: Link | None = None
        self._process = process.number
        self._closed = False

    def send(self, session: str, event: Mapping[str, Any] | str | bytes) -> None:
        """Send an event of the call ``session``: as a mapping, or the frame as it came from the platform."""
        try:
            if isinstance(event, str | bytes):
                self._put(session, self._writer.frame, event, len(event))
            elif (copy := unchanging(event)) is not None:
                self._put(session, self._writer.event, copy, characters_of(copy))
            else:
                written = self._writer.event(event)
                self._put(session, iter, written, len(written[0].text))
        except Exception:  # noqa: BLE001 - nothing that the app passes may raise into it
            if not self._closed:
                self._buffer.drop("unreadable")
                self._wake()

    def send_made(self, session: str, make: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Send the events of the call ``session`` that ``make`` returns. It is called in the tap's thread.

        What it reads must not change any more. If it raises, the rest of its events counts as one that is ``unreadable``.
        """
        self._put(session, self._writer.made, make, _UNMADE)

    def open(self) -> None:
        """Start the thread that connects, so that the first event does not have to. Never raises."""
        self._start()

    def end(self, session: str) -> None:
        """The platform's connection of the call ``session`` is gone."""
        self._put(session, None, None, 0)

    @property
    def stats(self) -> Stats:
        """What became of the events so far."""
        link, buffer = self._link, self._buffer
        return Stats(link is not None and link.connected, buffer.acknowledged, buffer.refused, len(buffer), dict(buffer.dropped))

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait at most ``timeout`` seconds until the exporter has counted everything. Return whether it has."""
        return self._buffer.wait_until_empty(timeout)

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def rest(self) -> None:
        """End the connection and its thread as soon as everything is acknowledged. A later event opens them again. Never waits."""
        with self._starting:
            if self._link is not None and self._process == process.number:
                self._link.finish(self._may_end)

    def stay(self) -> None:
        """Take :meth:`rest` back."""
        with self._starting:
            if self._link is not None:
                self._link.finish(None)

    def close(self, timeout: float = 5.0) -> bool:
        """Flush and end the connection. Later events are not sent. Return whether everything was counted."""
        atexit.unregister(self.close)
        with self._starting:
            self._closed, link = True, self._link
        counted = self._buffer.wait_until_empty(timeout if link is not None else 0.0)
        if link is not None:
            link.stop(1.0)
        return counted

    def _put(self, session: str, write: Write | None, content: Any, characters: int) -> None:
        if self._closed:
            return
        if self._link is None or self._process != process.number:
            self._start()
        self._buffer.put(str(session), write, content, characters)
        self._wake()

    def _wake(self) -> None:
        link = self._link
        if link is None:  # it ended between the check for one and the new event
            self._start()
        elif not link.awake:
            link.wake()

    def _start(self) -> None:
        """Start a link that sends what is in the buffer, if there is none. A forked process starts both anew.

        If the system gives no thread, as while Python exits, the next event tries again.
        """
        with self._starting:
            if self._process != process.number:
                self._process, self._link, self._buffer = process.number, None, Buffer(*self._bounds)
            if self._link is None and not self._closed:
                link = Link(self._where, str(uuid4()), self._buffer)
                if link.start():
                    self._link = link
                    atexit.register(self.close, _AT_EXIT)

    def _may_end(self) -> bool:
        """Whether the link may end: nothing is left to send. An event that comes later starts a new one."""
        with self._starting:
            if len(self._buffer) or not self._buffer.sent_all:
                return False
            self._link = None
            atexit.unregister(self.close)
            return True
