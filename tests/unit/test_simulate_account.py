"""The platform's own account of a call: what it says of turns that happened in a certain way."""

from random import Random
from typing import Any

import pytest

from exporter.simulate.account import Account, ModelChange, account_of, summarize
from exporter.simulate.behaviour import Model
from exporter.simulate.call import plan_call
from exporter.simulate.moments import Moments
from exporter.simulate.profiles import FLEETS, TYPICAL
from exporter.simulate.session import ModelUsage, Session, open_session
from exporter.simulate.turns import Parts, Turn
from exporter.simulate.waits import Ending

PARTS = Parts(stt_delay=200, turn_decision=300, callback=5, llm_ttft=400, tts_ttfb=150, rest=60)
"""A wait of 915 ms."""


def session() -> Session:
    return open_session(Random(1), TYPICAL, Moments(0.0), "as-1")


def turn(number: int, began: int, stopped: int, **fields: Any) -> Turn:
    """A turn of the caller, answered after its parts and reported 5 s later, unless the fields say otherwise."""
    parts = fields.pop("parts", PARTS)
    started = fields.pop("agent_started", stopped + parts.perceived)
    defaults = {
        "turn_id": f"t-{number}",
        "agent_tool_id": None,
        "agent_text": "",
        "parts": parts,
        "agent_started": started,
        "agent_stopped": None if started is None else started + 1000,
        "metrics_at": stopped + 5000,
    }
    return Turn(number=number, user_started=began, user_stopped=stopped, **{**defaults, **fields})


def account(*turns: Turn, ended: int = 60_000, of: Session | None = None, **ending: Any) -> Account:
    how = Ending(ended, **{"dropped": False, "machine_at": None, "fell_back_after": None, **ending})
    return account_of(of or session(), turns, how, garbled=False)


def test_an_answered_turn_has_its_parts() -> None:
    """The longer of transcript and decision, the other stages, and what is left add up to the wait."""
    (accounted,) = account(turn(1, 1000, 3000)).turns
    assert accounted.parts_ms == {"endpointing": 300, "callback": 5, "llm": 400, "tts": 150, "realtime": 0, "unexplained": 60}
    assert (accounted.bottleneck, accounted.waited_ms, accounted.answered, accounted.reported) == ("llm", 915, True, "metrics")


def test_what_was_left_out_of_a_report_is_part_of_the_rest() -> None:
    """An observer cannot know of a stage that the platform did not report, nor what it used."""
    used = [ModelUsage("tts", Model("a", "b"), {"characters": 10}), ModelUsage("stt", Model("c", "d"), {"minutes": 0.5, "input": 0})]
    (accounted,) = account(turn(1, 1000, 3000, omitted_prefix="tts_", used=used)).turns
    assert (accounted.parts_ms["tts"], accounted.parts_ms["unexplained"]) == (0, 210)
    assert [(usage.component, usage.provider, usage.model, usage.amounts) for usage in accounted.used] == [
        ("stt", "c", "d", {"minutes": 0.5})
    ]


@pytest.mark.parametrize(
    ("fields", "reported"), [({"metrics_at": None, "completed_at": 4100}, "completed"), ({"metrics_at": None}, None), ({}, "metrics")]
)
def test_a_turn_is_reported_in_one_way_or_not(fields: dict[str, Any], reported: str | None) -> None:
    """Without turn.metrics a turn has no parts."""
    (accounted,) = account(turn(1, 1000, 3000, **fields)).turns
    assert (accounted.reported, bool(accounted.parts_ms)) == (reported, reported == "metrics")


def test_what_is_due_after_the_line_went_dead_is_not_sent() -> None:
    """A dropped call has not reported its last turn, and nobody knows how long the caller waited."""
    found = account(turn(1, 1000, 3000, agent_started=None), ended=7000, dropped=True)
    assert (found.turns[0].reported, found.ended, found.silences_ms, found.in_vain_ms) == (None, False, [], 0)


def test_a_caller_who_speaks_again_has_waited_in_vain() -> None:
    """Silence until the caller spoke, then until the call ended: over 3 s each is one, and both are in vain."""
    found = account(turn(1, 1000, 3000, agent_started=None), turn(2, 8000, 9000, agent_started=None), ended=12_500)
    assert (found.silences_ms, found.in_vain_ms, found.last_wait_ms, found.premature_ends) == ([5000, 3500], 8500, 0, 0)
    assert summarize(found)["unanswered_turns"] == 2


def test_a_later_word_of_the_agent_ends_the_wait() -> None:
    """Whatever the agent says, the caller hears that somebody is there."""
    asks = turn(1, 1000, 3000, agent_started=None)
    reprompt = turn(2, 9000, 9000, agent_first=True, agent_started=9300, parts=Parts())
    found = account(asks, reprompt)
    assert (found.silences_ms, found.in_vain_ms, found.last_wait_ms) == ([6300], 0, 6300)


@pytest.mark.parametrize(("goes_on", "premature"), [(3600, 1), (6000, 1), (6001, 0)])
def test_going_on_before_the_agent_begins(goes_on: int, premature: int) -> None:
    """Within 3 s the turn was judged over too early, later the caller asks once more."""
    found = account(turn(1, 1000, 3000, agent_started=None), turn(2, goes_on, goes_on + 1000))
    assert found.premature_ends == premature


@pytest.mark.parametrize(("goes_on", "premature"), [(3915, 1), (4415, 1), (4416, 0)])
def test_going_on_over_the_first_words(goes_on: int, premature: int) -> None:
    """Nobody reacts within half a second to what they hear: they had not finished."""
    assert account(turn(1, 1000, 3000), turn(2, goes_on, goes_on + 1000)).premature_ends == premature


def test_what_is_typed_is_not_heard() -> None:
    """A message in writing neither ends a wait nor begins another, and is no barge-in."""
    typed = turn(2, 4000, 4000, typed=True, parts=Parts(llm_ttft=500))
    found = account(turn(1, 1000, 3000, agent_started=None), typed)
    assert (found.premature_ends, found.last_wait_ms, found.reactions_ms) == (0, 1500, [])


@pytest.mark.parametrize(("speaks", "together"), [(4500, [415]), (3800, [1000]), (4915, [])])
def test_both_speak_at_once_until_the_agent_yields(speaks: int, together: list[int]) -> None:
    """From when the second of them began, and not at all if the agent was silent by then."""
    found = account(turn(1, 1000, 3000, interrupted=True), turn(2, speaks, speaks + 1000))
    assert found.reactions_ms == together


def test_a_turn_that_was_hung_up_before_it_was_judged_over_is_no_wait() -> None:
    """Who hangs up while the platform still listens has not waited."""
    found = account(turn(1, 1000, 3000, agent_started=None, hung_up_at=3200), ended=7000)
    assert (found.in_vain_ms, found.silences_ms) == (0, [])


def test_a_machine_does_not_wait() -> None:
    """Its verdict ends the wait as if there had been none, and later reports are known to be of a machine."""
    found = account(turn(1, 1000, 3000, agent_started=None), machine_at=7000)
    assert (found.silences_ms, found.in_vain_ms, found.last_wait_ms, found.turns[0].machine) == ([], 0, 0, True)


@pytest.mark.parametrize(
    ("fallback", "change"),
    [(Model("openai", "small"), "model"), (Model("groq", "large"), "provider"), (Model("openai", "large"), None)],
)
def test_a_fallback_changes_the_model_or_the_provider(fallback: Model, change: str | None) -> None:
    """Reported are turns before and after; a stand-in that is the model itself is no change."""
    of = session()
    of.first_llm, of.llm = Model("openai", "large"), fallback
    turns = [turn(number, number * 10_000, number * 10_000 + 1000) for number in (1, 2, 3)]
    assert account(*turns, of=of, fell_back_after=2).model_changes == ([ModelChange("llm", change)] if change else [])


def test_a_change_that_no_reports_tell_in_order_is_not_known() -> None:
    """If the one turn before is reported after the one that follows, it tells of what is past."""
    of = session()
    of.first_llm, of.llm = Model("a", "b"), Model("c", "d")
    late, next_one = turn(1, 1000, 3000, metrics_at=30_000), turn(2, 9000, 11_000)
    assert account(late, next_one, of=of, fell_back_after=1).model_changes == []


def test_garbled_calls_are_named() -> None:
    """Calls of earlier generations and with values that mean nothing say so, all others do not."""
    garbled: dict[str, list[Account]] = {"messy": [], "typical": []}
    for profile, found in garbled.items():
        for number in range(30):
            list(plan_call(7, number, FLEETS[profile]).steps(0.0, found.append))
    assert len(garbled["messy"]) == 30
    assert any(accounted.garbled for accounted in garbled["messy"])
    assert not any(accounted.garbled for accounted in garbled["typical"])
