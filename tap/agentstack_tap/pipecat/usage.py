"""What a session has used so far of each model: the entries of ``session.usage``, which are cumulative."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from agentstack_tap.pipecat.services import Kind, Service

MOST_MODELS: Final = 32
"""Models of a session whose use is summed up. The tokens of further ones still count with their turns."""
_Model = tuple[Kind, str | None, str | None]
"""Kind of the service, provider, model."""
_FIELDS: Final = {
    "prompt_tokens": "input_tokens",
    "cache_read_tokens": "input_cached_tokens",
    "completion_tokens": "output_tokens",
    "characters": "characters_count",
    "audio": "audio_duration",
}


class Usage:
    """Sums up amounts by service and model."""

    def __init__(self) -> None:
        self._models: dict[_Model, dict[str, float]] = {}
        self._changed = False

    def add(self, kind: Kind, service: Service, model: str | None, amounts: Mapping[str, float]) -> None:
        """Add what a service reports to have used since its last report."""
        used = {_FIELDS[name]: amount for name, amount in amounts.items() if name in _FIELDS and amount > 0}
        key = (kind, service.provider, model)
        if not used or (key not in self._models and len(self._models) >= MOST_MODELS):
            return
        totals = self._models.setdefault(key, {})
        for name, amount in used.items():
            totals[name] = totals.get(name, 0) + amount
        self._changed = True

    def news(self) -> Callable[[], list[dict[str, Any]]]:
        """What makes ``session.usage``, if anything was added since the last time. It may be called in another thread."""
        if not self._changed:
            return list
        self._changed = False
        return partial(_event, {model: dict(totals) for model, totals in self._models.items()})


def _event(models: Mapping[_Model, Mapping[str, float]]) -> list[dict[str, Any]]:
    entries = [
        {"type": f"{kind}_usage", "provider": provider, "model": model, **totals} for (kind, provider, model), totals in models.items()
    ]
    return [{"type": "session.usage", "models": entries}]
