"""Stands in for an ``AgentSession`` of LiveKit Agents where that is not installed: emits what it is told to."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

Callback = Callable[..., Any]


class EventEmitter:
    """As LiveKit's: calls back with as many arguments as a callback takes, and logs what it raises."""

    def __init__(self) -> None:
        self.callbacks: dict[str, list[Callback]] = {}
        self.raised: list[Exception] = []

    def on(self, event: str, callback: Callback) -> Callback:
        self.callbacks.setdefault(event, []).append(callback)
        return callback

    def off(self, event: str, callback: Callback) -> None:
        self.callbacks[event].remove(callback)

    def emit(self, event: str, **fields: Any) -> None:
        for callback in list(self.callbacks.get(event, ())):
            try:
                taken = len(inspect.signature(callback).parameters)
                callback(*[SimpleNamespace(type=event, **fields)][:taken])
            except Exception as error:  # noqa: BLE001 - as LiveKit does
                self.raised.append(error)


class AgentSession(EventEmitter):
    """A session. ``warned`` says whether somebody has registered for a deprecated event in the way that warns."""

    def __init__(self) -> None:
        super().__init__()
        self.current_speech: Handle | None = None
        self.user_state = "listening"
        self.llm: Any = object()
        self.agent: Any = None
        self.warned = False

    @property
    def current_agent(self) -> Any:
        if self.agent is None:
            raise RuntimeError("VoiceAgent isn't running")
        return self.agent

    def on(self, event: str, callback: Callback) -> Callback:
        self.warned = self.warned or event == "metrics_collected"
        return super().on(event, callback)

    def measure(self, kind: str, at: float, **fields: Any) -> None:
        """Emit ``metrics_collected``."""
        metrics = SimpleNamespace(type=kind, timestamp=at, **fields)
        self.emit("metrics_collected", metrics=metrics, created_at=at)

    def agent_becomes(self, state: str, at: float, *, old: str = "listening") -> None:
        """Emit ``agent_state_changed``."""
        self.emit("agent_state_changed", old_state=old, new_state=state, created_at=at)

    def user_becomes(self, state: str, at: float, *, old: str = "listening") -> None:
        """Emit ``user_state_changed``."""
        self.user_state = state
        self.emit("user_state_changed", old_state=old, new_state=state, created_at=at)

    def says(self, role: str, at: float, text: str = "", **metrics: Any) -> None:
        """Emit ``conversation_item_added``."""
        item = SimpleNamespace(type="message", role=role, text_content=text, metrics=metrics)
        self.emit("conversation_item_added", item=item, created_at=at)

    def speech(self, name: str, at: float, *, source: str = "generate_reply", scheduled: bool = True) -> "Handle":
        """Emit ``speech_created``. The speech is the current one from then on."""
        handle = Handle(name, scheduled=scheduled)
        if scheduled:
            self.current_speech = handle
        self.emit("speech_created", speech_handle=handle, source=source, user_initiated=True, created_at=at)
        return handle


class Handle:
    """A speech of the agent."""

    def __init__(self, name: str, *, scheduled: bool) -> None:
        self.id = name
        self.scheduled = scheduled
        self.interrupted = False
        self._callbacks: list[Callback] = []

    def add_done_callback(self, callback: Callback) -> None:
        self._callbacks.append(callback)

    def done(self, *, interrupted: bool = False) -> None:
        """The speech is over."""
        self.interrupted = interrupted
        for callback in self._callbacks:
            callback(self)
