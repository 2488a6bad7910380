"""Stands for the Plivo SDK's VoiceApp as far as handlers go: single slots, called one event at a time."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class SdkSession:
    """What a handler is given of the call."""

    agent_session_id: str


@dataclass
class SdkEvent:
    """An event as the SDK decodes it: the fields it knows, by attribute."""

    type: str
    agent_id: str | None = None
    agent_session_id: str | None = None
    digit: str | None = None


class VoiceApp:
    """The slots, and what the SDK does with them."""

    def __init__(self) -> None:
        self.on_event: Callable[..., Any] | None = None
        self.on_connect: Callable[..., Any] | None = None
        self.on_disconnect: Callable[..., Any] | None = None

    async def receive(self, session: SdkSession, event: Any) -> Any:
        """An event came."""
        if self.on_event is None:
            return None
        result = self.on_event(session, event)
        return await result if inspect.isawaitable(result) else result
