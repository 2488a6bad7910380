"""What a session has used so far of each model: the entries of ``session.usage``, which are cumulative."""

from collections.abc import Mapping
from typing import Any, Final

from agentstack_tap.pipecat.services import Kind, Service

MOST_MODELS: Final = 32
"""Models of a session whose use is summed up. The tokens of further ones still count with their turns."""
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
        self._models: dict[tuple[Kind, str | None, str | None], dict[str, float]] = {}
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

    def news(self) -> list[dict[str, Any]]:
        """The entries, if anything was added since they were last asked for."""
        if not self._changed:
            return []
        self._changed = False
        return [
            {"type": f"{kind}_usage", "provider": provider, "model": model, **totals}
            for (kind, provider, model), totals in self._models.items()
        ]
