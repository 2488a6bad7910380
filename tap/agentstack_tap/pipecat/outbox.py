"""Events on their way out, in the order in which the exporter has to hear of them."""

from collections.abc import Callable
from typing import Any, Final

MOST_HELD: Final = 100
"""Events that are held; with more they are sent."""


class Outbox:
    """Sends events, or holds them for a while.

    The exporter takes small events for a part of the turn that is reported next. So what begins while the turn before it is not yet
    reported is held until it is. A user who speaks while the agent does is told at once: that is a part of the interrupted turn.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._held: list[dict[str, Any]] | None = None

    def hold(self) -> None:
        """Hold events from now on."""
        if self._held is None:
            self._held = []

    def release(self) -> None:
        """Send what is held."""
        held, self._held = self._held or (), None
        for event in held:
            self._send(event)

    def send(self, event_type: str, **fields: Any) -> None:
        """Send an event, after those that are held. A field that is ``None`` is left out."""
        if self._held is None:
            self.send_now(event_type, **fields)
            return
        self._held.append(_event(event_type, fields))
        if len(self._held) > MOST_HELD:
            self.release()

    def send_now(self, event_type: str, **fields: Any) -> None:
        """Send an event of what went on before."""
        self._send(_event(event_type, fields))


def _event(event_type: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": event_type, **{name: value for name, value in fields.items() if value is not None}}
