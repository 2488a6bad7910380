"""What sessions use of each model: session.usage reports totals, and the increase of each total is counted."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from exporter.catalogue import derived
from exporter.catalogue.declarations import MetricSpec
from exporter.events.session import ModelUsage, SessionUsage
from exporter.metrics.instrument import Instrument
from exporter.metrics.label_limits import MAX_RAW, LabelLimiter
from exporter.metrics.store import Store
from exporter.protocol.reasons import RefusalReason
from exporter.sessions.session import Session, UsedModel

MOST_USED_MODELS: Final = 64
"""Models of a session whose totals are remembered; further ones are not counted."""
_ROUNDING: Final = 1e-6
"""A sum of durations that shrinks by less than this part of it was only rounded."""
_MOST_USED: Final = 1e12
_COMPONENTS: Final = {"llm_usage": "llm", "tts_usage": "tts", "stt_usage": "stt", "interruption_usage": "interruption"}
_METRICS: Final[dict[str, MetricSpec]] = {
    "input_tokens": derived.USAGE_INPUT_TOKENS,
    "input_cached_tokens": derived.USAGE_CACHED_INPUT_TOKENS,
    "output_tokens": derived.USAGE_OUTPUT_TOKENS,
    "session_duration": derived.USAGE_SESSION_DURATION,
    "characters_count": derived.USAGE_CHARACTERS,
    "audio_duration": derived.USAGE_AUDIO_DURATION,
    "total_requests": derived.USAGE_REQUESTS,
}
"""Field of a session.usage entry → the counter that its increase is added to."""
Totals = dict[str, float]
"""What a model has used so far, by field of session.usage."""


class UsageTracker:
    """Counts the increase of usage. ``refuse`` is called with each value that cannot be right: field and reason."""

    def __init__(self, store: Store, limiter: LabelLimiter, refuse: Callable[[str, RefusalReason], None]) -> None:
        self._limiter = limiter
        self._refuse = refuse
        self._usage = {field: Instrument(store, spec) for field, spec in _METRICS.items()}

    def session_usage(self, session: Session, event: SessionUsage, now: float) -> SessionUsage:
        """Add the increase since the session's last report.

        The first report of a session whose start was not seen is only the baseline: its usage may have been counted before.
        """
        baseline = session.usage is None and not session.saw_start
        if session.usage is None:
            session.usage = {}
        for model, totals in self._totals(event.models or ()).items():
            before = session.usage.get(model)
            if before is None:
                if len(session.usage) >= MOST_USED_MODELS:
                    continue
                before = session.usage[model] = {}
            increase = _update(before, totals)
            if increase and not baseline:
                self._count(model, increase, now)
        return event

    def _totals(self, entries: Iterable[ModelUsage]) -> dict[UsedModel, Totals]:
        """The plausible numbers of a report by model; entries of the same model are added up."""
        totals: dict[UsedModel, Totals] = {}
        for entry in entries:
            total = totals.setdefault(UsedModel(_cut(entry.type), _cut(entry.provider), _cut(entry.model)), {})
            for field, value in _values_of(entry):
                if math.isfinite(value) and 0 <= value <= _MOST_USED:
                    total[field] = total.get(field, 0.0) + value
                else:
                    self._refuse(f"models.{field}", RefusalReason.NEGATIVE if value < 0 else RefusalReason.TOO_LARGE)
        return totals

    def _count(self, used: UsedModel, increase: Totals, now: float) -> None:
        component = _COMPONENTS.get(used.type, "other")
        provider, model = self._limiter.pair(component, used.provider, used.model, now)
        for field, amount in increase.items():
            self._usage[field].add(amount, component=component, provider=provider, model=model, now=now)


def _update(before: Totals, totals: Mapping[str, float]) -> Totals:
    """Replace the old totals by the new ones; returns by how much they grew. A total that decreased has started again from 0."""
    increase = {}
    for field, value in totals.items():
        last = before.get(field, 0.0)
        if last - last * _ROUNDING < value < last:
            continue
        before[field] = value
        grown = value - last if value >= last else value
        if grown:
            increase[field] = grown
    return increase


def _cut(text: str | None) -> str:
    return (text or "")[:MAX_RAW]


def _values_of(entry: ModelUsage) -> list[tuple[str, float]]:
    """The numbers of an entry by field. The platform sends the duration of audio under two names."""
    values = [(field, getattr(entry, field)) for field in _METRICS]
    if entry.audio_duration is None:
        values.append(("audio_duration", entry.audio_duration_s))
    return [(field, value) for field, value in values if value is not None]
