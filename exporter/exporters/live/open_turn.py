"""The turn that goes on: its stages so far, from what the session knows of who speaks."""

from collections.abc import Collection
from typing import Final

from exporter.exporters.live.event_time import event_time
from exporter.exporters.live.messages import Stage, StageName, Tool, Turn
from exporter.exporters.live.turn_view import SeenTurn
from exporter.sessions.clock import PlatformClock
from exporter.sessions.session import Session
from exporter.sessions.turn_taking_state import Moment, TurnTakingState

_SLACK: Final = 0.25
"""Seconds by which the times of events and of turn.metrics may differ."""


def open_turn(session: Session, clock: PlatformClock, seen: Collection[SeenTurn], tools: list[Tool]) -> Turn | None:
    """The turn that goes on, if one does. Turns that were ``seen`` to be counted are over."""
    state = session.turn_taking
    if state is None:
        return None
    stages = _next_turn(state, clock) if state.user_started is not None else _answered_turn(session, state, clock)
    if not stages or _is_counted(stages, seen):
        return None
    running = [tool for tool in tools if tool.end is None or tool.end >= stages[0].start]
    return Turn(
        key="open",
        state="open",
        agent_first=stages[0].stage == "agent_speech",
        start=stages[0].start,
        end=stages[-1].end if stages[-1].stage == "agent_speech" else None,
        stages=stages,
        tools=running,
    )


def _next_turn(state: TurnTakingState, clock: PlatformClock) -> list[Stage]:
    """The caller speaks, or has just stopped."""
    started, stopped = state.user_started, state.user_stopped
    if started is None:
        return []
    start = _at(started, clock)
    if stopped is None:
        return [_stage("user_speech", start, None)]
    end = max(start, _at(stopped, clock))
    return [_stage("user_speech", start, end), _stage("turn_detection", end, None)]


def _answered_turn(session: Session, state: TurnTakingState, clock: PlatformClock) -> list[Stage]:
    """It is the agent's turn, or the agent speaks without having been asked."""
    agent = None if state.agent_started is None else _at(state.agent_started, clock)
    if state.turn_end is None:
        return [] if agent is None else [_stage("agent_speech", agent, _agent_end(session, agent, clock))]
    silent = _at(state.turn_end, clock)
    start = silent if state.turn_start is None else min(silent, _at(state.turn_start, clock))
    decided = silent if state.turn_decided is None else max(silent, _at(state.turn_decided, clock))
    answered = None if state.answered is None else max(decided, _at(state.answered, clock))
    stages = [_stage("user_speech", start, silent), _stage("turn_detection", silent, decided), _stage("response", decided, answered)]
    if answered is not None:
        stages.append(_stage("agent_speech", answered, _agent_end(session, answered, clock)))
    return stages


def _agent_end(session: Session, start: float, clock: PlatformClock) -> float | None:
    """When the agent fell silent; ``None`` while it speaks."""
    state = session.states.get("agent") if session.states else None
    if state is None or state.name == "speaking":
        return None
    return max(start, event_time(state.since if state.since != state.received else None, state.received, clock))


def _is_counted(stages: list[Stage], seen: Collection[SeenTurn]) -> bool:
    """Whether a counted turn is this one: it ends and begins no earlier."""
    silent = next((stage.end for stage in stages if stage.stage == "user_speech"), None)
    agent = next((stage.start for stage in stages if stage.stage == "agent_speech"), None)
    for each in seen:
        if stages[0].stage == "user_speech":
            if silent is not None and not each.turn.agent_first and silent <= each.speech_end + _SLACK:
                return True
        elif agent is not None and agent <= each.agent_start + _SLACK:
            return True
    return False


def _stage(name: StageName, start: float, end: float | None) -> Stage:
    return Stage(stage=name, start=start, end=end)


def _at(moment: Moment, clock: PlatformClock) -> float:
    return event_time(moment.stamp, moment.received, clock)
