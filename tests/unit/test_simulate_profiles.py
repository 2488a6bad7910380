"""The fleets: the latencies they promise, and how they are drawn."""

from random import Random

import pytest

from exporter.cli import PROFILES
from exporter.simulate.behaviour import Spread
from exporter.simulate.call import event_name, plan_call
from exporter.simulate.profiles import FLEETS, draw_profile, fleet_of
from exporter.simulate.truth import linear, perceived_seconds

PROMISED = {
    "fast": (0.55, 0.90),
    "typical": (0.80, 1.42),
    "slow": (1.25, 2.30),
    "s2s": (0.65, 1.02),
}


@pytest.mark.parametrize("name", PROMISED)
def test_a_profile_keeps_its_latency(name: str) -> None:
    """Median and 95th percentile of user-perceived latency lie within 6 % of what the profile stands for."""
    values = sorted(
        value
        for number in range(400)
        for _, event in plan_call(11, number, FLEETS[name]).steps(0.0)
        if event_name(event) == "turn.metrics" and (value := perceived_seconds(event)) is not None
    )
    assert (linear(values, 0.5), linear(values, 0.95)) == pytest.approx(PROMISED[name], rel=0.06)


def test_a_spread_has_its_median_and_tail() -> None:
    """Half of the draws lie under the median, 95 % under the p95."""
    rng = Random(3)
    draws = sorted(Spread(200, 500).draw(rng) for _ in range(20_000))
    assert linear(draws, 0.5) == pytest.approx(200, rel=0.03)
    assert linear(draws, 0.95) == pytest.approx(500, rel=0.03)


def test_the_default_fleet_draws_every_other_one() -> None:
    """``mixed`` holds a call of each of the profiles, but for those that stand for one trouble."""
    rng = Random(5)
    troubles = {"healthy", "slow-llm", "hasty", "outage", "silent"}
    assert {draw_profile(FLEETS["mixed"], rng).name for _ in range(2000)} == set(FLEETS) - {"mixed"} - troubles


def test_the_command_offers_every_fleet() -> None:
    """What --profile takes is what there is."""
    assert set(PROFILES) == set(FLEETS)


def test_named_profiles_share_a_fleet_evenly() -> None:
    """Two names, half of the calls each."""
    assert [(weight, profile.name) for weight, profile in fleet_of(("fast", "slow"))] == [(0.5, "fast"), (0.5, "slow")]


def test_an_unknown_profile_is_named_with_the_known_ones() -> None:
    """The error tells what was asked for and what there is."""
    with pytest.raises(ValueError, match=r"'quick'.*fast, hasty, healthy, messy, mixed"):
        fleet_of(("quick",))
