"""A session and its journal → the call's row in the list."""

from typing import Final

from exporter.exporters.live.messages import Activity, Call
from exporter.exporters.live.tally import Tally
from exporter.sessions.call_journal import CallJournal
from exporter.sessions.session import MACHINE, Session, SessionIdentity, identity_of, is_traced
from exporter.sessions.shown_text import shown
from exporter.sessions.turn_taking_state import TurnTakingState

LONGEST_DECISION: Final = 10.0
"""Seconds after which a silent caller is not believed to have finished: the platform did not report what became of it."""


def row(journal: CallJournal, now: float, slow_turn: float) -> Call:
    """The call's row."""
    session = journal.session
    who: SessionIdentity = journal.facts if session is None else identity_of(session)
    if journal.tally is None:
        journal.tally = Tally(slow_turn)
    tally: Tally = journal.tally
    if tally.position != journal.count:
        tally.read(journal, human=who.answered_by != MACHINE)
    activity, waiting_since = ("unknown", None) if session is None or session.ended else activity_of(session, now)
    return Call(
        id=journal.id,
        session=who.id,
        call=who.call_id,
        trace_id=who.trace_id,
        traced=who.traced if session is None else is_traced(session),
        agent=who.agent_label,
        answered_by=who.answered_by,
        started_at=who.started_at,
        ended_at=journal.ended_at,
        end_reason=shown(journal.end_reason),
        connected=session is not None and session.connections > 0,
        activity=activity,
        waiting_since=waiting_since,
        turns=tally.turns,
        last_wait=tally.last and tally.last[0],
        last_bottleneck=tally.last and tally.last[1],
        worst_wait=tally.worst and tally.worst[0],
        worst_bottleneck=tally.worst and tally.worst[1],
        slow_turns=tally.slow,
        unanswered=tally.unanswered,
        interruptions=tally.interruptions,
        errors=tally.errors,
        cost=None if journal.cost is None else round(journal.cost, 6),
        truncated=journal.dropped > 0,
    )


def activity_of(session: Session, now: float) -> tuple[Activity, float | None]:
    """What happens in the call, and since when the caller waits."""
    agent = session.states.get("agent") if session.states else None
    turn_taking = session.turn_taking
    if agent is not None and agent.name == "speaking":
        return "speaking", None
    waiting = _waiting_since(session, turn_taking, now)
    if _runs_tool(session):
        return "tool", waiting
    if turn_taking is not None and turn_taking.waiting_for is not None:
        return "thinking", waiting
    if waiting is not None:
        return "deciding", waiting
    if agent is None:
        return ("unknown" if turn_taking is None else "listening"), None
    return ("thinking" if agent.name == "thinking" else "listening"), None


def _waiting_since(session: Session, state: TurnTakingState | None, now: float) -> float | None:
    if state is None:
        return None
    if state.waiting_for is not None and state.turn_end is not None:
        return state.turn_end.received
    return state.user_stopped.received if state.user_stopped is not None and _is_deciding(session, state, now) else None


def _is_deciding(session: Session, state: TurnTakingState, now: float) -> bool:
    """Whether the caller has just fallen silent, and the agent has done nothing since."""
    stopped = state.user_stopped
    if stopped is None or state.turn_end is not None or now - stopped.received > LONGEST_DECISION or session.answered_by == MACHINE:
        return False
    agent = session.states.get("agent") if session.states else None
    return agent is None or agent.received <= stopped.received


def _runs_tool(session: Session) -> bool:
    return bool(session.running_agent_tools) or (session.app is not None and bool(session.app.open_calls))
