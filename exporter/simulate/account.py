"""The platform's own account of a call: what really happened, taken from the turns and not from the events sent.

The account also says what the platform did not report, because an observer of the events cannot know that.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from exporter.simulate.session import ModelUsage, Session
from exporter.simulate.turns import Turn
from exporter.simulate.waits import Ending, premature_ends, reactions, unanswered_wait, waits_of


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn used of a model. ``amounts`` are tokens, characters or minutes by kind; nothing counts under two kinds."""

    component: str
    provider: str
    model: str
    amounts: dict[str, float]
    cancelled: bool


class TurnAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A turn. ``reported`` is ``metrics`` (in turn.metrics), ``completed`` (in turn.completed only) or None (not at all).

    ``waited_ms`` is None if nobody waited or nobody answered. ``parts_ms`` adds up to ``waited_ms``: the reported stages by component,
    and the rest as ``unexplained``, which is negative when stages overlapped. ``bottleneck`` is the largest part. ``machine`` is True
    if an answering machine had been recognised before the turn was reported.
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
    """A change of model that the reports show. ``change`` is ``provider``, or ``model`` if the provider stayed the same."""

    component: str
    change: str


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A call.

    - ``garbled``: the call or one of its turns was reported so badly that no observer can compute this account.
    - ``ended``: False if the connection was dropped without ``session.ended``.
    - ``silences_ms``: silences over 3 s while the caller waited.
    - ``reactions_ms``: for each barge-in, how long both spoke at once.
    - ``in_vain_ms``: how long the caller waited without an answer since the agent last spoke.
    - ``last_wait_ms``: how long the caller waited for the agent in the last turn; 0 if the agent did not answer.
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


def summarize(account: Account) -> Counter[str]:
    """The call's part of the run's summary. Times are in milliseconds."""
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
    """The account of a finished call."""
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
        in_vain_ms=0 if machine else unanswered_wait(turns, waits, ending),
        last_wait_ms=waits[-1].ms if waits and waits[-1].by == "agent" and not machine else 0,
        model_changes=_model_changes(session, turns, ending),
    )


def _turn(session: Session, turn: Turn, ending: Ending) -> TurnAccount:
    reported = _reported(turn, ending)
    waited = turn.parts.perceived if turn.agent_started is not None and not turn.agent_first else None
    in_full = reported == "metrics"
    parts = {} if waited is None or not in_full else _parts(session, turn, waited)
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
        used=[_usage(used) for used in turn.used if in_full and turn.omitted_prefix != f"{used.component}_"],
    )


def _reported(turn: Turn, ending: Ending) -> str | None:
    if ending.sent(turn.metrics_at):
        return "metrics"
    return "completed" if ending.sent(turn.completed_at) else None


def _parts(session: Session, turn: Turn, waited: int) -> dict[str, int]:
    """The wait by component. STT and turn decision run in parallel, so the longer counts. A stage not reported is part of the rest."""
    parts = turn.parts
    transcript = 0 if turn.omitted_prefix == "stt_" else parts.stt_delay
    decision = parts.turn_decision if session.reports_endpointing else 0
    stages = {
        "endpointing": max(transcript, decision),
        "callback": parts.callback,
        "llm": parts.llm_ttft,
        "tts": 0 if turn.omitted_prefix == "tts_" else parts.tts_ttfb,
        "realtime": parts.realtime_ttft,
    }
    return {**stages, "unexplained": waited - sum(stages.values())}


def _usage(used: ModelUsage) -> Usage:
    amounts = {kind: amount for kind, amount in used.amounts.items() if amount}
    name = {"provider": used.model.provider, "model": used.model.name}
    return Usage(component=used.component, amounts=amounts, cancelled=used.cancelled, **name)


def _model_changes(session: Session, turns: Sequence[Turn], ending: Ending) -> list[ModelChange]:
    """The change from the first LLM to its fallback, if the reports show it. No other change is simulated."""
    fallback_index, first = ending.fell_back_after, session.first_llm
    if fallback_index is None or first == session.llm:
        return []
    reported = [index for index in _reported_in_order(turns, ending) if not turns[index].agent_first]
    if not reported or not reported[0] < fallback_index <= reported[-1]:
        return []
    return [ModelChange("llm", "model" if first.provider == session.llm.provider else "provider")]


def _reported_in_order(turns: Sequence[Turn], ending: Ending) -> list[int]:
    """Indexes of the turns whose turn.metrics came before that of every later turn. A report that comes later is out of date."""
    reported = [index for index, turn in enumerate(turns) if _reported(turn, ending) == "metrics"]
    in_order: list[int] = []
    for index in sorted(reported, key=lambda index: turns[index].metrics_at or 0):
        if not in_order or index > in_order[-1]:
            in_order.append(index)
    return in_order
