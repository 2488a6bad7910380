"""A stand-in for the Plivo Python SDK's ``VoiceApp``, which is on no package index: connections, typed events, handlers.

As observed in plivo/plivo-agentstack-python (src/plivo_agentstack/agent/app.py and events.py): every slot holds one handler, a sync one
runs in the default executor and an async one in the event loop, each event waits for its handlers, what they raise ends nothing, and
typed events have the fields of their class only.
"""

import asyncio
import dataclasses
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import ConnectionClosed

Handler = Callable[..., Any]


@dataclass
class AgentSessionStarted:
    type: str = "session.started"
    agent_session_id: str = ""
    call_id: str = ""
    caller: str | None = None
    callee: str | None = None
    agent_id: str | None = None


@dataclass
class TurnMetrics:
    type: str = "turn.metrics"
    turn_number: int = 0
    interrupted: bool = False
    user_perceived_ms: int | None = None
    llm_ttft_ms: int | None = None
    llm_model: str | None = None
    llm_provider: str | None = None


@dataclass
class StreamStart:
    event: str = "start"
    stream_id: str = ""
    call_id: str = ""
    content_type: str = ""
    sample_rate: int = 8000


@dataclass
class StreamMedia:
    event: str = "media"
    payload: str = ""
    content_type: str = ""
    sample_rate: int = 8000
    timestamp: str = ""


@dataclass
class StreamDtmf:
    event: str = "dtmf"
    digit: str = ""


_TYPES: dict[str, Any] = {
    "session.started": AgentSessionStarted,
    "turn.metrics": TurnMetrics,
    "start": StreamStart,
    "media": StreamMedia,
    "dtmf": StreamDtmf,
}


class Session:
    """The session object that handlers receive together with the event."""

    def __init__(self, socket: Any) -> None:
        self.agent_session_id: str | None = None
        self.call_uuid: str | None = None
        self.stream_id: str | None = None
        self.socket = socket


class VoiceApp:
    """Takes the platform's connections with ``_handle_connection``, as ``run`` and the framework adapters of the SDK do."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._catch_all: Handler | None = None
        self._on_connect: Handler | None = None
        self._on_disconnect: Handler | None = None
        self.raised: list[Exception] = []

    def on(self, event_type: str) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self._handlers[event_type] = handler
            return handler

        return register

    def on_event(self, handler: Handler) -> Handler:
        self._catch_all = handler
        return handler

    def on_connect(self, handler: Handler) -> Handler:
        self._on_connect = handler
        return handler

    def on_disconnect(self, handler: Handler) -> Handler:
        self._on_disconnect = handler
        return handler

    async def _handle_connection(self, socket: Any) -> None:
        session = Session(socket)
        await self._dispatch(self._on_connect, session)
        try:
            with suppress(ConnectionClosed):
                await self._receive(socket, session)
        finally:
            await self._dispatch(self._on_disconnect, session)

    async def _receive(self, socket: Any, session: Session) -> None:
        async for raw in socket:
            data = json.loads(raw)
            name = data.get("type") or data.get("event")
            if name == "session.started":
                session.agent_session_id, session.call_uuid = data.get("agent_session_id"), data.get("call_id")
            if name == "start":
                session.stream_id = data.get("streamId") or data["start"].get("streamId")
                session.call_uuid = session.call_uuid or data["start"].get("callId")
            event = parse_event(data)
            await self._dispatch(self._catch_all, session, event)
            await self._dispatch(self._handlers.get(name), session, event)
            if name in ("session.ended", "stop"):
                break

    async def _dispatch(self, handler: Handler | None, *args: Any) -> None:
        if handler is None:
            return
        try:
            if asyncio.iscoroutinefunction(handler):
                await handler(*args)
            else:
                await asyncio.get_running_loop().run_in_executor(None, handler, *args)
        except Exception as error:  # noqa: BLE001 - the SDK logs it with the handler's name and goes on
            assert handler.__name__
            self.raised.append(error)


def parse_event(data: dict[str, Any]) -> Any:
    """The typed event, or the frame itself if there is no type for it."""
    name = data.get("type") or data.get("event")
    kind = _TYPES.get(name or "")
    if kind is None:
        return data
    found = {field.name: data[field.name] for field in dataclasses.fields(kind) if field.name in data}
    if name == "start":
        start = data["start"]
        media_format = start.get("mediaFormat", {})
        found |= {"stream_id": data.get("streamId") or start.get("streamId", ""), "call_id": start.get("callId", "")}
        found |= {"content_type": media_format.get("type", ""), "sample_rate": media_format.get("rate", 8000)}
    elif name == "media":
        media = data["media"]
        found |= {"payload": media.get("payload", ""), "content_type": media.get("contentType", "")}
        found |= {"sample_rate": media.get("sampleRate", 8000), "timestamp": media.get("timestamp", "")}
    elif name == "dtmf":
        found["digit"] = data["dtmf"].get("digit", "")
    return kind(**found)
