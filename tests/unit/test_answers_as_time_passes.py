"""The answers to an operator's questions when calls take their time: silences are counted while they last, reports come late."""

from pathlib import Path

import msgspec
import pytest

from exporter.config.price_file import read_prices
from exporter.exporters.prometheus.exposition import Renderer
from exporter.exporters.prometheus.negotiation import Format
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.registry import SessionTimeouts
from exporter.simulate.account import Account
from exporter.simulate.call import plan_call
from exporter.simulate.profiles import FLEETS
from tests.support.answers import Answers, differences, says, shown
from tests.support.core import BEGINNING, Core
from tests.support.daemon import samples_of
from tests.support.platform_account import SLOW_MS, known, price_file

CALLS = 60
UNDER_WAY = 0.2
"""Seconds that an event takes to arrive."""


def answers_of(core: Core) -> Answers:
    """What a scrape would show now."""
    text = b"".join(Renderer().chunks(core.pipeline.snapshot(core.now), Format.TEXT_0_0_4))
    return shown(samples_of(text.decode()))


def play(core: Core, profile: str) -> list[Account]:
    """Calls that begin 2 s after each other, event by event, a tick each second; returns what the platform says of them."""
    accounts: list[Account] = []
    sent = []
    for number in range(CALLS):
        begun = BEGINNING + number * 2
        steps = plan_call(7, number, FLEETS[profile]).steps(begun, accounts.append)
        sent += [(begun + at + UNDER_WAY, number, msgspec.json.encode(event).decode()) for at, event in steps]
    feeds = [CallFeed(core.pipeline) for _ in range(CALLS)]
    for at, number, frame in sorted(sent, key=lambda each: each[0]):
        while core.now + 1 <= at:
            core.let_pass(1)
        feeds[number].consume(frame, at)
    for feed in feeds:
        feed.close(core.now)
    core.let_pass(60)
    return accounts


@pytest.mark.parametrize(
    ("profile", "question"),
    [
        ("healthy", ("turn_component",)),
        ("slow-llm", ("slow_turns", "llm")),
        ("hasty", ("premature_ends",)),
        ("outage", ("model_changes",)),
        ("silent", ("dead_air_seconds",)),
    ],
)
def test_the_answers_are_the_same_at_the_pace_of_a_call(tmp_path: Path, profile: str, question: tuple[str, ...]) -> None:
    """What was counted second by second and from late reports adds up to what the platform knows it made happen."""
    core = Core()
    core.pipeline = Pipeline(
        LabelLimits(), SessionTimeouts(), core, core.now, slow_turn=SLOW_MS / 1000, prices=read_prices(price_file(tmp_path))
    )
    expected = known(play(core, profile))
    assert differences(expected, answers_of(core)) == []
    assert says(expected, *question)
