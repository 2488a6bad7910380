"""What hostile label values cost: series, memory and time.

Two floods of a million turns go through the whole pipeline. In the first, each turn has an agent, providers, models, a method and a
tool that were never seen before. The second has all combinations of 100 agents, 100 providers and 100 models. Each flood runs in its
own process, whose resident memory is read before and after. Run it with ``make bench ARGS=cardinality``.
"""

import gc
import itertools
import resource
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter

import msgspec

from exporter.metrics.label_limits import LabelLimits
from exporter.metrics.self_metrics import LABEL_OVERFLOW
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.registry import SessionTimeouts

_BEGINNING = 1_777_885_200.0
_TURNS_OF_A_CALL = 20
_STAGES = ("llm", "tts", "stt")
_MEASURED = {"user_perceived_ms": 900, "llm_ttft_ms": 400, "tts_ttfb_ms": 150, "stt_delay_ms": 200, "turn_decision_ms": 300}

Combination = tuple[str, str, str]
"""Agent, provider and model."""


def never_seen(many: int) -> Iterator[Combination]:
    """Combinations in which every value is new. A call keeps its agent."""
    for number in range(many):
        yield f"agent-{number // _TURNS_OF_A_CALL}", f"provider-{number}", f"model-{number}"


def grid(agents: int, providers: int, models: int) -> Iterator[Combination]:
    """Every combination of this many values, agent by agent."""
    for agent, provider, model in itertools.product(range(agents), range(providers), range(models)):
        yield f"agent-{agent}", f"provider-{provider}", f"model-{model}"


def flood(pipeline: Pipeline, combinations: Iterable[Combination], now: float) -> float:
    """Send a turn for each combination, in calls of a few turns; returns the time afterwards."""
    encode = msgspec.json.Encoder().encode
    by_agent = itertools.groupby(combinations, key=lambda combination: combination[0])
    calls = ((agent, part) for agent, all_of_it in by_agent for part in _parts(list(all_of_it)))
    for number, (agent, part) in enumerate(calls):
        feed = CallFeed(pipeline)
        feed.consume(encode({"type": "session.started", "agent_session_id": f"{now}-{number}", "agent_id": agent}), now)
        for turn, (_, provider, model) in enumerate(part):
            labels = {"pipeline": provider, "turn_method": model, "error_source": model}
            labels |= {f"{stage}_provider": provider for stage in _STAGES} | {f"{stage}_model": model for stage in _STAGES}
            feed.consume(encode({"type": "turn.metrics", "turn_number": turn, **labels, **_MEASURED}), now)
        feed.consume(encode({"type": "tool.executed", "calls": [{"name": f"tool-{now}-{number}"}]}), now)
        feed.consume(encode({"type": "session.ended", "reason": f"reason-{now}-{number}"}), now)
        feed.close(now)
        now += 0.01
        pipeline.tick(now)
    return now


def _parts(turns: list[Combination]) -> Iterator[list[Combination]]:
    for start in range(0, len(turns), _TURNS_OF_A_CALL):
        yield turns[start : start + _TURNS_OF_A_CALL]


def resident() -> int:
    """Resident memory of this process, in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def overflow(pipeline: Pipeline, now: float) -> float:
    """How many label values became ``_other``."""
    (family,) = [family for family in pipeline.snapshot(now).families if family.spec is LABEL_OVERFLOW]
    return sum(series.value for series in family.series if isinstance(series.value, float))


def measure(name: str, combinations: Callable[[], Iterable[Combination]], many: int) -> str:
    """A line of the table: one flood through its own pipeline."""
    pipeline = Pipeline(LabelLimits(), SessionTimeouts(), NoDiagnostics(), _BEGINNING)
    before, started = resident(), perf_counter()
    now = flood(pipeline, combinations(), _BEGINNING)
    took, after = perf_counter() - started, resident()
    series_cache = [
        name,
        f"{many:,}",
        f"{pipeline.store.series:,} of {LabelLimits().series:,}",
        f"{overflow(pipeline, now):,.0f}",
        f"{(after - before) / 1e6:.1f} MB",
        f"{took / many * 1e6:.0f} µs",
    ]
    return f"| {' | '.join(series_cache)} |"


def run(*, quick: bool) -> None:
    """Measure and print."""
    side = 20 if quick else 100
    floods = [
        (f"{side} agents × {side} providers × {side} models", partial(grid, side, side, side), side**3),
        ("never seen before", partial(never_seen, side**3), side**3),
    ]
    print("| flood | turns | series | values that became _other | memory grew by | a turn, encoding included |")
    print("|---|---|---|---|---|---|")
    for one in floods:
        with ProcessPoolExecutor(max_workers=1) as process:
            print(process.submit(measure, *one).result(), flush=True)
