"""The fleets in which one thing goes wrong: it does, as the platform would send it, and what is meant to be well is well."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from exporter.simulate.call import event_name, plan_call
from exporter.simulate.profiles import FLEETS

CALLS = 120
Call = list[dict[str, Any]]


def calls(profile: str) -> Iterator[Call]:
    """The events of each call in order."""
    return ([event for _, event in plan_call(7, number, FLEETS[profile]).steps(0.0)] for number in range(CALLS))


def named(call: Call, name: str) -> Call:
    return [event for event in call if event_name(event) == name]


def states(call: Call) -> list[str]:
    """Who begins and ceases to do what, in order: ``user speaking``, ``agent thinking``, and ``over`` where a turn is judged so."""
    found = []
    for event in call:
        who, _, what = event_name(event).partition(".")
        if what == "state_changed":
            found.append(f"{who} {event['new_state']}")
        elif what == "turn_completed" and who == "user":
            found.append("over")
    return found


def test_healthy_calls_go_well() -> None:
    """Every caller is answered, nothing fails, and every call is said to be over."""
    for call in calls("healthy"):
        assert all(turn["agent_first"] or turn["user_perceived_ms"] is not None for turn in named(call, "turn.metrics"))
        assert named(call, "session.error") == []
        assert len(named(call, "session.ended")) == 1


def test_a_caller_who_was_cut_off_goes_on() -> None:
    """Turns of the hasty fleet are judged over too early: the caller speaks again before the agent does, which then stays silent."""
    early = 0
    for call in calls("hasty"):
        order = states(call)
        for place, state in enumerate(order):
            if state == "over" and order[place + 1 : place + 3] == ["agent thinking", "user speaking"]:
                early += order[place + 3] == "agent listening"
    assert early > CALLS / 3


def test_a_caller_may_go_on_over_the_first_words() -> None:
    """In others the agent has just begun when the caller goes on, and breaks off."""
    begun = [order for call in calls("hasty") for order in pairwise(states(call)) if order == ("agent speaking", "user speaking")]
    assert len(begun) > CALLS / 3


def test_an_answer_that_is_not_wanted_was_written_in_vain() -> None:
    """A generation that is cancelled before a word is heard has used tokens, and no characters."""
    reports = [turn for call in calls("hasty") for turn in named(call, "turn.metrics")]
    unheard = [turn for turn in reports if turn.get("llm_cancelled") and turn["user_perceived_ms"] is None]
    assert unheard
    assert all(turn["llm_completion_tokens"] > 0 and "tts_characters" not in turn and turn["agent_text"] == "" for turn in unheard)


def test_callers_hang_up_over_slow_answers() -> None:
    """In the slow-llm fleet the model takes most of the wait, and some callers end the call after an answer that came late."""
    fled = 0
    for call in calls("slow-llm"):
        turns = [turn for turn in named(call, "turn.metrics") if turn.get("user_perceived_ms")]
        fled += bool(turns) and turns[-1]["user_perceived_ms"] > 1500 and named(call, "session.ended")[0]["reason"] == "user_hangup"
    assert fled > CALLS / 4


def test_an_outage_fails_turns_and_brings_another_model() -> None:
    """Errors, turns without an answer, and turns of one call with different models, of the same provider and of another."""
    changes, errors, unanswered = set(), 0, 0
    for call in calls("outage"):
        errors += len(named(call, "session.error"))
        turns = [turn for turn in named(call, "turn.metrics") if not turn["agent_first"]]
        unanswered += sum(turn["user_perceived_ms"] is None for turn in turns)
        for before, after in pairwise(turns):
            if before["llm_model"] != after["llm_model"]:
                changes.add(before["llm_provider"] == after["llm_provider"])
    assert changes == {True, False}
    assert errors > CALLS
    assert unanswered > CALLS / 2


def test_a_silent_agent_stays_silent() -> None:
    """Once the agent of a silent call has stopped answering, no caller hears it again, whatever they say."""
    silent = 0
    for call in calls("silent"):
        kinds = [event_name(event) for event in call]
        heard = [place for place, kind in enumerate(kinds) if kind == "agent.speech_started"]
        said = [place for place, kind in enumerate(kinds) if kind == "user.turn_completed"]
        after = [place for place in said if not heard or place > heard[-1]]
        silent += len(after) > 1
        assert named(call, "session.error") == []
    assert silent > CALLS / 4
