"""What the exporter answers an operator, against the simulated platform's own account of what it made happen in the same calls."""

from pathlib import Path

import pytest

from exporter.simulate import profiles
from exporter.simulate.truth import read_accounts
from tests.support.answers import differences, says, shown
from tests.support.daemon import total
from tests.support.platform_account import SLOW_MS, known, price_file
from tests.support.simulation import final_scrape

CALLS = 150
GARBLED = "messy"
FLEETS = {name: (name,) for name in ("healthy", "slow-llm", "hasty", "outage", "silent")} | {
    "mixed": tuple(sorted({profile.name for _, profile in profiles.FLEETS["mixed"]} - {GARBLED}))
}
"""The kinds of calls in each: of the mixed fleet all but the ones whose reports are garbled beyond any account."""
SHOWS: dict[str, tuple[tuple[str, ...], ...]] = {
    "healthy": (("caller_turns", "answered"), ("turn_component", "tts"), ("cost_usd", "llm"), ("cost_usd", "tts"), ("cost_usd", "stt")),
    "slow-llm": (("slow_turns", "llm"), ("turn_component", "llm"), ("dead_air",), ("ended_after", "slow"), ("ended_after", "silent")),
    "hasty": (("premature_ends",), ("barge_in_reactions",), ("barge_in_seconds",), ("wasted", "llm"), ("wasted", "tts")),
    "outage": (("caller_turns", "unanswered"), ("model_changes", "provider"), ("model_changes", "model"), ("unpriced", "input")),
    "silent": (("caller_turns", "unanswered"), ("dead_air",), ("dead_air_seconds",), ("ended_after", "silent")),
    "mixed": (
        *(("slow_turns", "endpointing"), ("negative_rest",), ("turn_component", "realtime"), ("wasted", "realtime")),
        *(("cost_usd", "realtime"), ("unpriced", "image_input"), ("unpriced", "characters")),
    ),
}
"""What a fleet is there for: with nothing of it on either side, that they agree would say nothing."""
ABSENT = {"healthy": (("caller_turns", "unanswered"), ("dead_air",), ("model_changes",), ("ended_after", "silent"))}
"""What a fleet must not show."""

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("fleet", FLEETS)
async def test_the_answers_equal_the_platforms_account(tmp_path: Path, fleet: str) -> None:
    """Bottlenecks, waits, answers nobody got, waste and cost are what the platform knows it made happen, agent by agent."""
    options = ("--slow-turn", str(SLOW_MS / 1000), "--prices", str(price_file(tmp_path)))
    samples, truth, _ = await final_scrape(tmp_path, calls=CALLS, profiles=FLEETS[fleet], seed=7, at_once=8, options=options)
    accounts = [record.account for record in read_accounts(truth)]
    assert not any(account.garbled for account in accounts)
    expected, found = known(accounts), shown(samples)
    assert differences(expected, found) == []
    assert differences(known(accounts[1:]), found) != [], "a single call is noticed"
    assert [question for question in SHOWS[fleet] if not says(expected, *question)] == []
    assert [question for question in ABSENT.get(fleet, ()) if says(expected, *question)] == []
    assert total(samples, "agentstack_turns_waiting") == 0
