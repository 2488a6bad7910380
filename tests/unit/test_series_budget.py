"""How many series calls make with everything on: what Prometheus has to keep for a deployment of a known size."""

from dataclasses import replace

import msgspec

from exporter.config.price_file import read_prices
from exporter.exporters.prometheus.exposition import sample_count
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.registry import SessionTimeouts
from exporter.simulate.behaviour import Profile
from exporter.simulate.call import plan_call
from exporter.simulate.profiles import TYPICAL
from tests.support.core import Core
from tests.support.house_rules import ROOT


def series_after(profiles: list[Profile], *, calls: int, turns: int) -> int:
    """Samples in a scrape after so many calls of each kind: a bucket is one, too."""
    core = Core()
    core.pipeline = Pipeline(
        LabelLimits(), SessionTimeouts(), core, core.now, prices=read_prices(ROOT / "deploy" / "prices" / "prices.toml")
    )
    for number, profile in enumerate(profiles):
        for call in range(calls):
            feed = CallFeed(core.pipeline)
            for _, event in plan_call(number, call, ((1.0, profile),), turns=turns).steps(core.now):
                feed.consume(msgspec.json.encode(event), core.now)
            feed.close(core.now)
    assert core.pipeline.metrics.rejected[0] == 0
    assert core.value("agentstack_exporter_label_overflow_total") == 0
    return sample_count(core.pipeline.snapshot(core.now))


def of_one_set(agent: str, number: int) -> Profile:
    """Calls of one agent with one provider of each kind, the ``number``-th, and none to fall back to."""
    pick = number % 3
    llm = replace(TYPICAL.llm[pick], name=f"{TYPICAL.llm[pick].name}-{number}")
    return replace(
        TYPICAL,
        agents=(agent,),
        stt=(TYPICAL.stt[pick],),
        llm=(llm,),
        tts=(TYPICAL.tts[pick],),
        chances=replace(TYPICAL.chances, fallback=0.0),
    )


def test_one_call() -> None:
    """A long call with one provider of each kind stays under 1,500 series, and uses most of what such a call can."""
    found = series_after([of_one_set("agent-1", 0)], calls=1, turns=25)
    assert 1_000 < found < 1_500


def test_a_fleet() -> None:
    """Twenty agents, each with four sets of models, stay under 40,000 series."""
    found = series_after([of_one_set(f"agent-{agent}", number) for agent in range(20) for number in range(4)], calls=2, turns=12)
    assert 15_000 < found < 40_000
