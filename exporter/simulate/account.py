"""The platform's own account of a call: what it made happen, told from the turns as they happened and not from the events sent.

It knows what only the platform can know, and keeps apart what it did not report: an observer cannot know that.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from exporter.simulate.session import Session, Used
from exporter.simulate.turns import Turn
from exporter.simulate.waits import Ending, in_vain, premature_ends, reactions, waits_of


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn took of a model: ``amounts`` are tokens, characters or minutes, none counted under two kinds."""

    component: str
    provider: str
    model: str
    amounts: dict[str, float]
    cancelled: bool


class TurnAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A turn, as far as the platform reported it: in turn.metrics, in turn.completed only, or not at all (``reported`` None).

    ``waited_ms`` is None where nobody waited or nobody answered. ``parts_ms`` add up to it: the stages it reported by component, and
    as ``unexplained`` the rest, below 0 where they overlapped; ``bottleneck`` is the largest. ``machine``: it was known by the time
    of the report that a machine waits.
    """

    number: int
    sub_agent: str | None
    by_agent: bool
    answered: bool
    reported: str | None
    machine: bool
    waited_ms: int | None
    parts_ms: dict[str, int]
    bottleneck: str | None
    used: list[Usage]


class ModelChange(msgspec.Struct, frozen=True):
    """Reports tell of both models, one after the other; ``change`` is what differs: ``provider``, or only the ``model``."""

    component: str
    change: str


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A call. ``garbled``: the platform reported it, or a turn of it, so badly that nobody could arrive at this account.

    ``silences_ms`` are those over 3 s while the caller waited, ``reactions_ms`` how long both spoke at once in a barge-in.
    ``in_vain_ms`` is how long the caller has waited for nothing since the agent was last heard, ``last_wait_ms`` how long until it was
    heard in the last turn; ``ended`` False is a line that went dead.
    """

    agent: str
    pipeline: str
    garbled: bool
    ended: bool
    turns: list[TurnAccount]
    silences_ms: list[int]
    premature_ends: int
    reactions_ms: list[int]
    in_vain_ms: int
    last_wait_ms: int
    model_changes: list[ModelChange]


def in_short(account: Account) -> Counter[str]:
    """What a run's summary says of the call; times are in milliseconds."""
    heard = [turn.answered for turn in account.turns if not turn.by_agent]
    return Counter(
        answered_turns=heard.count(True),
        unanswered_turns=heard.count(False),
        premature_ends_of_turn=account.premature_ends,
        silences=len(account.silences_ms),
        silences_ms=sum(account.silences_ms),
        model_changes=len(account.model_changes),
    )


def account_of(session: Session, turns: Sequence[Turn], ending: Ending, *, garbled: bool) -> Account:
    """The account of a call that is over."""
    waits = waits_of(turns, ending)
    machine = ending.machine_at is not None
    return Account(
        agent=session.agent_id,
        pipeline=session.profile.pipeline,
        garbled=garbled or any(turn.garbled for turn in turns),
        ended=not ending.dropped,
        turns=[_turn(session, turn, ending) for turn in turns],
        silences_ms=[wait.ms for wait in waits if wait.dead_air],
        premature_ends=premature_ends(turns, waits),
        reactions_ms=reactions(turns, ending),
        in_vain_ms=0 if machine else in_vain(turns, waits, ending),
        last_wait_ms=waits[-1].ms if waits and waits[-1].by == "agent" and not machine else 0,
        model_changes=_model_changes(session, turns, ending),
    )


def _turn(session: Session, turn: Turn, ending: Ending) -> TurnAccount:
    reported = _reported(turn, ending)
    waited = turn.parts.perceived if turn.agent_started is not None and not turn.agent_first else None
    told = reported == "metrics"
    parts = {} if waited is None or not told else _parts(session, turn, waited)
    return TurnAccount(
        number=turn.number,
        sub_agent=turn.agent_tool_id,
        by_agent=turn.agent_first,
        answered=turn.agent_started is not None,
        reported=reported,
        machine=ending.machine_at is not None and turn.metrics_at is not None and turn.metrics_at > ending.machine_at,
        waited_ms=waited,
        parts_ms=parts,
        bottleneck=max(parts, key=lambda part: parts[part]) if parts else None,
        used=[_usage(used) for used in turn.used if told and turn.untold != f"{used.component}_"],
    )


def _reported(turn: Turn, ending: Ending) -> str | None:
    if ending.sent(turn.metrics_at):
        return "metrics"
    return "completed" if ending.sent(turn.completed_at) else None


def _parts(session: Session, turn: Turn, waited: int) -> dict[str, int]:
    """Transcript and decision run side by side, so the longer one counts; a stage that was not told is part of the rest."""
    parts = turn.parts
    transcript = 0 if turn.untold == "stt_" else parts.stt_delay
    decision = parts.turn_decision if session.reports_endpointing else 0
    stages = {
        "endpointing": max(transcript, decision),
        "callback": parts.callback,
        "llm": parts.llm_ttft,
        "tts": 0 if turn.untold == "tts_" else parts.tts_ttfb,
        "realtime": parts.realtime_ttft,
    }
    return {**stages, "unexplained": waited - sum(stages.values())}


def _usage(used: Used) -> Usage:
    amounts = {kind: amount for kind, amount in used.amounts.items() if amount}
    name = {"provider": used.model.provider, "model": used.model.name}
    return Usage(component=used.component, amounts=amounts, cancelled=used.cancelled, **name)


def _model_changes(session: Session, turns: Sequence[Turn], ending: Ending) -> list[ModelChange]:
    """The one change there can be: from the LLM the call began with to its stand-in."""
    place, first = ending.fell_back_after, session.first_llm
    if place is None or first == session.llm:
        return []
    named = [number for number in _reported_in_turn(turns, ending) if not turns[number].agent_first]
    if not named or not named[0] < place <= named[-1]:
        return []
    return [ModelChange("llm", "model" if first.provider == session.llm.provider else "provider")]


def _reported_in_turn(turns: Sequence[Turn], ending: Ending) -> list[int]:
    """The places of the turns whose turn.metrics came before those of any later one: the others tell of what is past."""
    reported = [place for place, turn in enumerate(turns) if _reported(turn, ending) == "metrics"]
    in_turn: list[int] = []
    for place in sorted(reported, key=lambda place: turns[place].metrics_at or 0):
        if not in_turn or place > in_turn[-1]:
            in_turn.append(place)
    return in_turn
