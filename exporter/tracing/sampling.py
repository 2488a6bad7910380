"""Which traces are exported: the samplers of the OpenTelemetry specification, and turns that are kept although not sampled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from exporter.events.turn_metrics import TurnMetrics

SamplerName = Literal[
    "always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"
]
"""As ``OTEL_TRACES_SAMPLER`` names them. Our spans have no remote parent, so a parent-based sampler is its root."""

_LOW_64: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class SpanOptions:
    """What is written into spans, and which spans are written.

    ``capture``: write personal data too. ``proposals``: use attributes that the GenAI conventions only propose. ``per_turn``: one trace
    a turn instead of one a session. ``sampler``, ``ratio``, ``decide``: see :class:`Sampler`. ``keep_slow_above``: keep turns that are
    not sampled if the caller waited longer (seconds); ``keep_interrupted``, ``keep_failed``: keep interrupted, failed turns.
    ``attribute_length``: longest text attribute, in characters.
    """

    capture: bool = False
    proposals: bool = False
    per_turn: bool = False
    sampler: SamplerName = "parentbased_always_on"
    ratio: float = 1.0
    decide: Callable[[str], bool] | None = None
    keep_slow_above: float | None = None
    keep_interrupted: bool = False
    keep_failed: bool = False
    attribute_length: int = 4096

    @property
    def keeps_some(self) -> bool:
        """Whether a turn can be kept although it is not sampled."""
        return self.keep_slow_above is not None or self.keep_interrupted or self.keep_failed


class Sampler:
    """Decides from the trace id alone, as the SDK's ``TraceIdRatioBased`` does, so that every process decides the same.

    ``decide`` is a sampler of another package, which is asked instead. Raises ``ValueError`` for a ratio outside 0 to 1.
    """

    def __init__(self, name: SamplerName, ratio: float = 1.0, decide: Callable[[str], bool] | None = None) -> None:
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"a sampling ratio is between 0 and 1, not {ratio}")
        kind = name.removeprefix("parentbased_")
        self._bound = {"always_on": _LOW_64 + 1, "always_off": 0}.get(kind, round(ratio * (_LOW_64 + 1)))
        self._decide = decide
        self.always = self._bound > _LOW_64 and decide is None
        """Whether every trace is exported."""

    def samples(self, trace_id: str) -> bool:
        """Whether spans of the trace (32 hexadecimal digits) are exported."""
        if self._decide is not None:
            return self._decide(trace_id)
        return self.always or int(trace_id[16:], 16) < self._bound


def is_kept(options: SpanOptions, event: TurnMetrics) -> bool:
    """Whether the turn is exported although its trace is not sampled."""
    if options.keep_interrupted and event.interrupted:
        return True
    if options.keep_failed and event.error_source:
        return True
    slow = options.keep_slow_above
    return slow is not None and event.user_perceived_ms is not None and event.user_perceived_ms > slow * 1000.0
