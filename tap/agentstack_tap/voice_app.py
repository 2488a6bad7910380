"""The tap on a ``VoiceApp`` of Plivo's Python SDK, in one line.

The tap reads the frames on their way into the app's connection handler, because the SDK's typed events lack every field that the SDK
does not know. Of an SDK without that handler, or with ``frames=False``, it reads the typed events.
"""

import asyncio
import dataclasses
import functools
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final
from uuid import uuid4

from agentstack_tap.client import Tap

_HANDLER: Final = "_handle_connection"
_SLOTS: Final = {"on_event": "_catch_all", "on_connect": "_on_connect", "on_disconnect": "_on_disconnect"}
"""How a handler is registered → where the SDK keeps it: one of each."""


def attach(
    app: Any,
    url: str,
    *,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    frames: bool = True,
) -> Tap:
    """Send the events of the app's calls to the exporter at ``url``. The app behaves as before.

    Call it once, before the app serves; handlers may be registered before or after. The other arguments are those of :class:`Tap`;
    ``frames=False`` reads the SDK's typed events instead of the frames. Raises ``ValueError`` as :class:`Tap` does.
    """
    tap = Tap(url, token=token, tls=tls)
    if frames and callable(getattr(app, _HANDLER, None)):
        _read_frames(app, tap)
    else:
        _see_events(app, tap)
    return tap


class TappedCall:
    """One connection of the platform. Finds the name of its call. Never raises."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._name: str | None = None

    def frame(self, frame: str | bytes) -> None:
        """Send a frame."""
        if self._name is None or _may_begin(frame):
            self._rename(_name_in(frame))
        self._tap.send(self._name or "", frame)

    def event(self, session: Any, event: Any) -> None:
        """Send an event that the SDK has typed."""
        names = (getattr(session, name, None) for name in ("agent_session_id", "call_uuid", "stream_id"))
        self._rename(next((str(name) for name in names if name), None))
        self._tap.send(self._name or "", untyped(event))

    def end(self) -> None:
        """Send that the connection is gone."""
        if self._name is not None:
            self._tap.end(self._name)

    def _rename(self, name: str | None) -> None:
        if name is not None and self._name not in (None, name):
            self.end()
        self._name = name or self._name or f"unnamed-{uuid4()}"


class _Tapped:
    """A WebSocket as the SDK takes it. Its frames are read on their way."""

    def __init__(self, socket: Any, call: TappedCall) -> None:
        self._socket = socket
        self._call = call
        self._frames: AsyncIterator[str | bytes] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def __aiter__(self) -> "_Tapped":
        self._frames = aiter(self._socket)
        return self

    async def __anext__(self) -> str | bytes:
        if self._frames is None:
            self._frames = aiter(self._socket)
        frame = await anext(self._frames)
        self._call.frame(frame)
        return frame


def _read_frames(app: Any, tap: Tap) -> None:
    handle = getattr(app, _HANDLER)

    @functools.wraps(handle)
    async def tapped(socket: Any, *args: Any, **more: Any) -> Any:
        call = TappedCall(tap)
        try:
            return await handle(_Tapped(socket, call), *args, **more)
        finally:
            call.end()

    setattr(app, _HANDLER, tapped)


def _see_events(app: Any, tap: Tap) -> None:
    """Put ours in front of each handler of the app, registered earlier or later."""
    calls: dict[int, TappedCall] = {}

    def see(session: Any, event: Any) -> None:
        calls.setdefault(id(session), TappedCall(tap)).event(session, event)

    def forget(session: Any) -> None:
        call = calls.pop(id(session), None)
        if call is not None:
            call.end()

    def begin(session: Any) -> None:
        calls[id(session)] = TappedCall(tap)

    for name, ours in (("on_event", see), ("on_connect", begin), ("on_disconnect", forget)):
        register = getattr(app, name)
        register(_both(ours, getattr(app, _SLOTS[name], None)))
        setattr(app, name, _registering(register, ours))


def _registering(register: Callable[[Any], Any], ours: Callable[..., None]) -> Callable[[Any], Any]:
    def registering(handler: Any) -> Any:
        register(_both(ours, handler))
        return handler

    return registering


def _both(ours: Callable[..., None], theirs: Any) -> Callable[..., Any]:
    """Ours, then theirs. The SDK runs the pair as it would run theirs: in a thread or in the event loop."""
    if theirs is None:

        async def alone(*args: Any) -> None:
            ours(*args)

        return alone
    if asyncio.iscoroutinefunction(theirs):

        @functools.wraps(theirs)
        async def awaited(*args: Any) -> Any:
            ours(*args)
            return await theirs(*args)

        return awaited

    @functools.wraps(theirs)
    def called(*args: Any) -> Any:
        ours(*args)
        return theirs(*args)

    return called


def untyped(event: Any) -> Any:
    """A typed event as it was on the wire, without the fields that the SDK does not know. Audio streams' fields are nested again."""
    if isinstance(event, Mapping | str | bytes) or not dataclasses.is_dataclass(event) or isinstance(event, type):
        return event
    fields = {name: value for name, value in dataclasses.asdict(event).items() if value not in (None, "")}
    name = fields.get("event")
    if name == "start":
        media_format = {"type": fields.get("content_type"), "rate": fields.get("sample_rate")}
        start = {"callId": fields.get("call_id"), "streamId": fields.get("stream_id"), "mediaFormat": media_format}
        return {"event": name, "streamId": fields.get("stream_id"), "start": start}
    if name == "media":
        renamed = {"content_type": "contentType", "sample_rate": "sampleRate"}
        return {"event": name, "media": {renamed.get(key, key): value for key, value in fields.items() if key != "event"}}
    if name == "dtmf":
        return {"event": name, "dtmf": {"digit": fields.get("digit")}}
    return fields


def _may_begin(frame: str | bytes) -> bool:
    return ("session.started" in frame or '"start"' in frame) if isinstance(frame, str) else b"start" in frame


def _name_in(frame: str | bytes) -> str | None:
    try:
        event = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return name_of(event) if isinstance(event, dict) else None


def name_of(event: Mapping[str, Any]) -> str | None:
    """The name of the call that an event begins: its session, else its call, else its stream. ``None`` for other events."""
    if event.get("type") in ("session.started", "agent_session.started"):
        return _first(event.get("agent_session_id"), event.get("call_id"))
    if event.get("event") == "start":
        start = event.get("start")
        inner = start if isinstance(start, dict) else {}
        return _first(inner.get("callId"), inner.get("streamId"), event.get("streamId"))
    return None


def _first(*names: Any) -> str | None:
    return next((name[:256] for name in names if isinstance(name, str) and name), None)
