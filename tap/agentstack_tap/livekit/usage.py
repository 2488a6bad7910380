"""What a session has used so far, by model: as the session adds it up, or added up here where it does not."""

from typing import Any, Final

from agentstack_tap.livekit.mapping import COLLECTED, USAGE, read

MOST_MODELS: Final = 64
"""Models of a session whose usage is added up."""


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

    def news(self) -> dict[str, Any] | None:
        """The event, if anything was used since the last one."""
        models = self._models()
        if models == self._sent:
            return None
        self._sent = models
        return {"type": "session.usage", "models": models}

    def _models(self) -> list[dict[str, Any]]:
        if self._reported is None:
            found = [(kind, provider, name, totals) for (kind, provider, name), totals in self._collected.items()]
        else:
            entries = (read(self._reported, "model_usage") or [])[:MOST_MODELS]
            found = [(entry.type, entry.provider, entry.model, entry) for entry in entries]
        models = []
        for kind, provider, name, totals in found:
            used = {field: value for field in USAGE.get(kind, ()) if (value := read(totals, field))}
            if used:
                models.append({"type": kind, "provider": provider, "model": name, **used})
        return models
