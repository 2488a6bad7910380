"""What a session has used so far, by model: as the session adds it up, or added up here where it does not."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from agentstack_tap.livekit.mapping import COLLECTED, USAGE, read

MOST_MODELS: Final = 64
"""Models of a session whose usage is added up."""
_Entry = tuple[str, str, str, Any]
"""Kind of the usage, provider, model, and what has the totals."""


class Usage:
    """The totals for ``session.usage``."""

    def __init__(self) -> None:
        self._reported: Any = None
        self._collected: dict[tuple[str, str, str], dict[str, float]] = {}
        self._sent: list[dict[str, Any]] = []

    def updated(self, usage: Any) -> None:
        """The session has added up its usage anew."""
        self._reported = usage

    def collect(self, metrics: Any) -> None:
        """Add a measurement, for sessions that add up nothing themselves."""
        kind, fields = COLLECTED.get(metrics.type, ("", {}))
        if self._reported is not None or not kind:
            return
        model = kind, read(metrics, "metadata.model_provider") or "", read(metrics, "metadata.model_name") or ""
        if model not in self._collected and len(self._collected) >= MOST_MODELS:
            return
        totals = self._collected.setdefault(model, {})
        for theirs, ours in fields.items():
            totals[ours] = totals.get(ours, 0) + (read(metrics, theirs) or 0)

    def news(self) -> Callable[[], list[dict[str, Any]]]:
        """What makes the event, if anything was used since the last one. It is called in the tap's thread."""
        if self._reported is not None:
            return partial(self._event, _reported, self._reported)
        return partial(self._event, _collected, {model: dict(totals) for model, totals in self._collected.items()})

    def _event(self, entries: Callable[[Any], Iterable[_Entry]], used: Any) -> list[dict[str, Any]]:
        models = [entry for entry in map(_model, entries(used)) if entry is not None]
        if models == self._sent:
            return []
        self._sent = models
        return [{"type": "session.usage", "models": models}]


def _reported(usage: Any) -> Iterable[_Entry]:
    entries = (read(usage, "model_usage") or [])[:MOST_MODELS]
    return [(entry.type, entry.provider, entry.model, entry) for entry in entries]


def _collected(models: dict[tuple[str, str, str], dict[str, float]]) -> Iterable[_Entry]:
    return [(*model, totals) for model, totals in models.items()]


def _model(entry: _Entry) -> dict[str, Any] | None:
    kind, provider, name, totals = entry
    used = {field: value for field in USAGE.get(kind, ()) if (value := read(totals, field))}
    return {"type": kind, "provider": provider, "model": name, **used} if used else None
