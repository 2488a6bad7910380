"""The function calls of a session: which are under way, and their events."""

from typing import Any, Final

from agentstack_tap.pipecat.outbox import Outbox

MOST_TOOLS: Final = 64
"""Function calls of a session that may be under way; when there are more, the oldest is forgotten."""


class Tools:
    """The functions that the agent calls. Times are unix seconds; ``texts`` sends arguments and results, too."""

    def __init__(self, outbox: Outbox, *, texts: bool) -> None:
        self._outbox, self._texts = outbox, texts
        self._open: dict[str, None] = {}

    @property
    def under_way(self) -> bool:
        """Whether a function is called."""
        return bool(self._open)

    def started(self, call_id: str) -> None:
        """A function call is under way."""
        if len(self._open) >= MOST_TOOLS:
            del self._open[next(iter(self._open))]
        self._open[call_id] = None

    def ended(self, at: float, call_id: str, name: str, *, failed: bool, arguments: Any = None, output: Any = None) -> None:
        """A function call returned, or failed."""
        self._open.pop(call_id, None)
        call = {"name": name, "call_id": call_id, "is_error": failed}
        if self._texts:
            call |= {"arguments": _text(arguments), "output": _text(output)}
        self._outbox.send("tool.executed", timestamp=at, calls=[call])

    def cancelled(self, call_id: str) -> None:
        """A function call was called off. It neither returned nor failed, so that it does not count."""
        self._open.pop(call_id, None)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)
