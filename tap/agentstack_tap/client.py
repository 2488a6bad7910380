"""The tap as a customer's app uses it."""

import atexit
import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from agentstack_tap.buffer import Buffer, DropReason
from agentstack_tap.link import Link, Where

MOST_EVENTS: Final = 10_000
MOST_CHARACTERS: Final = 16 * 1024 * 1024
"""Default bounds of what is kept until the exporter has counted it."""
_AT_EXIT: Final = 2.0
"""Seconds that the last events get when the app's process ends."""
_STARTS: Final = ("session.started", '"start"')
_START_TYPES: Final = {"session.started", "agent_session.started", "start"}


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
    Nothing is opened before the first event. All methods may be called from any thread; those for events never raise and never wait.

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
        self._provenance = {name: value for name, value in named.items() if value}
        self._starting = Lock()
        self._link: Link | None = None
        self._process = os.getpid()
        self._closed = False

    def send(self, session: str, event: Mapping[str, Any] | str | bytes) -> None:
        """Send an event of the call ``session``: as a mapping, or the frame as it came from the platform."""
        if self._closed:
            return
        try:
            if isinstance(event, Mapping):
                starts = _is_start(event)
                text = _as_json(self._named(event) if starts else event)
                size = _bytes_of(text)
            else:
                frame = event if isinstance(event, str) else event.decode("utf-8", "replace")
                starts = _begins(frame)
                if starts and self._provenance:
                    frame = _as_json(self._named(json.loads(frame)))
                text, size = _as_json(frame), _bytes_of(frame)
            self._awake().event(str(session), text, starts=starts, size=size)
        except Exception:  # noqa: BLE001 - nothing that the app passes may raise into it
            self._buffer.drop("unreadable")
        self._wake()

    def end(self, session: str) -> None:
        """The platform's connection of the call ``session`` is gone."""
        if not self._closed:
            self._awake().end(str(session))
            self._wake()

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
            if self._link is not None and self._process == os.getpid():
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

    def _named(self, start: Mapping[str, Any]) -> Mapping[str, Any]:
        """The first event of a call, with what feeds the call. What the event itself says is left as it is."""
        return {**self._provenance, **start} if self._provenance and "type" in start else start

    def _awake(self) -> Buffer:
        """The buffer, with a link that sends what is in it. A forked process starts both anew."""
        if self._link is None or self._process != os.getpid():
            with self._starting:
                self._start()
        return self._buffer

    def _start(self) -> None:
        if self._process != os.getpid():
            self._process, self._link, self._buffer = os.getpid(), None, Buffer(*self._bounds)
        if self._link is None and not self._closed:
            self._link = Link(self._where, str(uuid4()), self._buffer)
            self._link.start()
            atexit.register(self.close, _AT_EXIT)

    def _wake(self) -> None:
        link = self._link
        if link is None:  # it ended between the check for one and the new event
            self._awake()
        else:
            link.wake()

    def _may_end(self) -> bool:
        """Whether the link may end: nothing is left to send. An event that comes later starts a new one."""
        with self._starting:
            if len(self._buffer) or not self._buffer.idle:
                return False
            self._link = None
            atexit.unregister(self.close)
            return True


_encode: Final = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
"""Made once: ``json.dumps`` makes one for each event, which takes as long as a short event."""


def _as_json(event: Mapping[str, Any] | str) -> str:
    """JSON with letters as they are: escaped, those that are not Latin take up to three times as much."""
    text = _encode(event)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of an emoji cannot be sent as it is
        return json.dumps(event, allow_nan=False, separators=(",", ":"))
    return text


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _is_start(event: Mapping[str, Any]) -> bool:
    return (event.get("type") or event.get("event")) in _START_TYPES


def _begins(frame: str) -> bool:
    """Whether a frame begins a call. Nearly all frames are told apart without parsing them."""
    if not any(word in frame for word in _STARTS):
        return False
    try:
        found = json.loads(frame)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and _is_start(found)
