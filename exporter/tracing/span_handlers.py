"""The types that spans share with the rest of the exporter: how events come in, and how finished spans go out."""

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import msgspec

from exporter.sessions.span_state import TracedSession

E = TypeVar("E", bound=msgspec.Struct)

Emit = Callable[[Sequence[bytes]], object]
"""Takes serialised spans that are complete at the same moment: those of a turn, or a single one."""
SpanHandler = Callable[[TracedSession, E, float], None]
"""Handles an event of type ``E``: the session, the event, and when it was received (unix seconds)."""


class SpanHandlers:
    """The handler of each event type. An event type without a handler contributes nothing to any span."""

    def __init__(self) -> None:
        self._handlers: dict[type[msgspec.Struct], object] = {}

    def add(self, event: type[E], handler: SpanHandler[E]) -> None:
        """Let ``handler`` take the events of a type."""
        self._handlers[event] = handler

    def get(self, event: type[E]) -> SpanHandler[E] | None:
        """The handler of an event type, if it has one."""
        return cast("SpanHandler[E] | None", self._handlers.get(event))

    def __getitem__(self, event: type[E]) -> SpanHandler[E]:
        return cast("SpanHandler[E]", self._handlers[event])
