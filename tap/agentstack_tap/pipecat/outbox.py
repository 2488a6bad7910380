"""Events on their way out, in the order in which the exporter has to hear of them."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from agentstack_tap.pipecat.turn import date_time

MOST_HELD: Final = 100
"""Events that are held; with more they are sent."""
_MOMENTS: Final = frozenset({"timestamp", "started_at", "ended_at"})
"""Fields that are times: here in unix seconds, on the wire as dates."""
MadeLater = Callable[[], Iterable[dict[str, Any]]]
"""Makes events. It is called later, in the tap's thread: what it reads does not change any more."""


class Outbox:
    """Sends events, or holds them for a while.

    The exporter takes small events for a part of the turn that is reported next. So what begins while the turn before it is not yet
    reported is held until it is. A user who speaks while the agent does is told at once: that is a part of the interrupted turn.
    """

    def __init__(self, send: Callable[[MadeLater], None]) -> None:
        self._send = send
        self._held: list[MadeLater] | None = None

    def hold(self) -> None:
        """Hold events from now on."""
        if self._held is None:
            self._held = []

    def release(self) -> None:
        """Send what is held."""
        held, self._held = self._held or (), None
        for make in held:
            self._send(make)

    def send(self, event_type: str, **fields: Any) -> None:
        """Send an event, after those that are held. A field that is ``None`` is left out. Times are unix seconds."""
        self.send_made(partial(_event, event_type, fields))

    def send_made(self, make: MadeLater) -> None:
        """Send the events that ``make`` returns, after those that are held."""
        if self._held is None:
            self._send(make)
            return
        self._held.append(make)
        if len(self._held) > MOST_HELD:
            self.release()

    def send_now(self, event_type: str, **fields: Any) -> None:
        """Send an event of what went on before."""
        self._send(partial(_event, event_type, fields))

    def send_made_now(self, make: MadeLater) -> None:
        """Send the events that ``make`` returns, of what went on before."""
        self._send(make)


def _event(event_type: str, fields: dict[str, Any]) -> list[dict[str, Any]]:
    known = {name: value for name, value in fields.items() if value is not None}
    return [{"type": event_type, **known, **{name: date_time(known[name]) for name in _MOMENTS & known.keys()}}]
