"""Samplers of other packages, asked as the SDK asks them when a root span begins."""

import logging
from collections.abc import Callable
from typing import Final

from opentelemetry.sdk.trace.sampling import Decision, Sampler
from opentelemetry.trace import SpanKind

from exporter.bounded_dict import BoundedDict

_REMEMBERED: Final = 10_000
"""Traces whose decision is kept: a sampler may decide otherwise when it is asked a second time."""

log = logging.getLogger(__name__)


def decider(sampler: Sampler) -> Callable[[str], bool]:
    """Whether the trace with an id (32 hexadecimal digits) is sampled. The sampler is asked once for each trace."""
    decisions: BoundedDict[str, bool] = BoundedDict(_REMEMBERED)

    def decide(trace_id: str) -> bool:
        decision = decisions.get(trace_id)
        if decision is None:
            decision = decisions[trace_id] = _ask(sampler, trace_id)
        return decision

    return decide


def _ask(sampler: Sampler, trace_id: str) -> bool:
    try:
        result = sampler.should_sample(None, int(trace_id, 16), "session", SpanKind.INTERNAL, {}, ())
        return result.decision is Decision.RECORD_AND_SAMPLE
    except Exception:
        log.exception("the sampler failed; the trace is sampled")
        return True
