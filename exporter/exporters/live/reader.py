"""A call's journal and session → its turns and marks, as an opened call shows them."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from exporter.analysis.turn_taking import DEAD_AIR
from exporter.events.base import Stamped
from exporter.events.session import SessionError
from exporter.events.speech import AgentFalseInterruption, AgentSpeechInterrupted, UserBackchannel
from exporter.events.telephony import CallTransferred, DtmfSent, UserDtmf, VoicemailDetected
from exporter.events.tools import AgentHandoff, AgentToolCompleted, AgentToolFailed, AgentToolStarted, ToolCalled, ToolExecuted
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.exporters.live.event_time import event_time
from exporter.exporters.live.messages import Mark, MarkKind, Tool, Truncated, Turn, TurnState
from exporter.exporters.live.open_turn import open_turn
from exporter.exporters.live.recorded_turn import recorded_turn
from exporter.exporters.live.turn_view import NANOSECOND, SeenTurn, TurnClock, view
from exporter.protocol.ids import shorten_id, turn_key, turn_key_by_id
from exporter.sessions.app_state import ToolAnswer
from exporter.sessions.call_journal import CallJournal, Entry, WithoutMetrics
from exporter.sessions.clock import PlatformClock
from exporter.sessions.kept_turn import KeptTurn
from exporter.sessions.session import Session
from exporter.sessions.shown_text import shown
from exporter.sessions.turn_notes import turn_key_text
from exporter.tracing.turn_spans import as_metrics

SLICE: Final = 100
"""Entries that are read at a time."""
MOST_MARKS: Final = 500


class CallReader:
    """Reads one journal, and goes on reading as it grows. If the journal has lost its beginning, everything is read anew."""

    def __init__(self, journal: CallJournal, *, slow_turn: float, content: bool) -> None:
        self._journal = journal
        self._slow_turn = slow_turn
        self._content = content
        self._handlers: dict[type, Callable[[Any, float, float], None]] = {
            WithoutMetrics: self._without_metrics,
            AgentSpeechInterrupted: self._marks("interruption", lambda _: None),
            AgentFalseInterruption: self._marks("false_interruption", lambda event: "resumed" if event.resumed else None),
            SessionError: self._marks("error", lambda event: event.code),
            UserDtmf: self._marks("dtmf", lambda _: None),
            DtmfSent: self._marks("dtmf", lambda _: "sent"),
            AgentHandoff: self._marks("handoff", lambda event: event.new_agent),
            CallTransferred: self._marks("transfer", lambda _: None),
            VoicemailDetected: self._marks("voicemail", lambda event: event.result),
            UserBackchannel: self._backchannel,
            ToolCalled: self._tool_called,
            ToolExecuted: self._tools_executed,
            AgentToolStarted: self._agent_started,
            AgentToolCompleted: self._agent_ended,
            AgentToolFailed: self._agent_ended,
            ToolAnswer: self._tool_answered,
        }
        self._clock: PlatformClock
        self._own_clock: bool
        self._begin()

    def read(self) -> Iterator[None]:
        """Read what was kept since the last call, in slices: between two of them other work may be done."""
        journal = self._journal
        if journal.dropped != self._dropped:
            self._begin()
        if self._own_clock and journal.session is not None and journal.session.spans is not None:
            self._clock, self._own_clock = journal.session.spans.clock, False
        while self._position < journal.count and journal.dropped == self._dropped:
            begin = self._position - journal.dropped
            entries = journal.entries[begin : begin + SLICE]
            for entry in entries:
                self._take(entry)
            self._position += len(entries)
            yield

    def turns(self, now: float) -> list[Turn]:
        """The turns, by start; the last ones may be going on."""
        session: Session | None = self._journal.session
        seen = [each.turn for each in self._seen.values()]
        if session is not None and not session.ended:
            seen += self._pending(session, now)
            going_on = open_turn(session, self._clock, self._seen.values(), self._free_tools())
            if going_on is not None:
                seen.append(going_on)
        return sorted(seen, key=lambda turn: turn.start)

    def marks(self, turns: list[Turn], now: float) -> list[Mark]:
        """What happened besides the ``turns``, by time."""
        present = self._clock.at(now) / NANOSECOND
        silences = [mark for turn in turns if (mark := _dead_air(turn, present)) is not None]
        return sorted([*self._found, *silences], key=lambda mark: mark.at)[-MOST_MARKS:]

    def lag(self, now: float) -> float:
        """Seconds that our clock is ahead of the platform's."""
        return round(now - self._clock.at(now) / NANOSECOND, 3)

    def truncated(self) -> Truncated:
        """What is no longer kept."""
        return Truncated(turns=self._journal.dropped_turns, events=self._journal.dropped)

    def _begin(self) -> None:
        journal = self._journal
        self._dropped = self._position = journal.dropped
        session = journal.session
        spans = None if session is None else session.spans
        self._clock = PlatformClock() if spans is None else spans.clock
        self._own_clock = spans is None
        self._seen: dict[str, SeenTurn] = {}
        self._found: list[Mark] = []
        self._tools: list[Tool] = []
        self._running: dict[str, Tool] = {}
        self._unnumbered = 0

    def _take(self, entry: Entry) -> None:
        if isinstance(entry, bytes):
            self._turn(recorded_turn(entry))
        elif (handle := self._handlers.get(type(entry.event))) is not None:
            handle(entry.event, entry.received, self._time_of(entry.event, entry.received))

    def _time_of(self, kept: object, received: float) -> float:
        """When it happened, on the platform's clock."""
        if isinstance(kept, Stamped) and self._own_clock:
            return self._clock.event_time(kept.timestamp, received) / NANOSECOND
        stamp = kept.timestamp.timestamp() if isinstance(kept, Stamped) and kept.timestamp is not None else None
        return event_time(stamp, received, self._clock)

    def _turn(self, kept: KeptTurn) -> None:
        event = kept.event
        if event.turn_number is None:
            self._unnumbered += 1
            key = f"u{self._unnumbered}"
        else:
            key = turn_key_text(turn_key(event.agent_tool_id, event.turn_number))
        self._show(key, event, "counted", kept.received, kept)

    def _without_metrics(self, kept: WithoutMetrics, received: float, _: float) -> None:
        self._show(_key_of(kept.event), as_metrics(kept.event), "without_metrics", received, kept)

    def _show(self, key: str, event: TurnMetrics, state: TurnState, received: float, kept: KeptTurn | WithoutMetrics) -> None:
        seen = view(
            event,
            key,
            state,
            self._turn_clock(kept, received),
            self._free_tools() or self._tools_of(key),
            slow_turn=self._slow_turn,
            content=self._content,
            received=received,
        )
        self._tools = []
        if self._own_clock and not seen.turn.estimated and not self._clock.known and seen.turn.end is not None:
            self._clock.learn(int(seen.turn.end * NANOSECOND), received)
        self._seen.pop(key, None)
        self._seen[key] = seen

    def _turn_clock(self, kept: KeptTurn | WithoutMetrics, received: float) -> TurnClock:
        """What the turn's spans were made with or, if it has none, what they would have been made with."""
        session = self._journal.session
        started_at = self._journal.facts.started_at if session is None else session.started_at
        clock = self._clock if kept.present is None else PlatformClock(kept.earliest, kept.lag)
        return TurnClock(clock.window(started_at, received), clock.at(received), kept.present)

    def _pending(self, session: Session, now: float) -> Iterator[Turn]:
        """Completed turns that wait for their turn.metrics."""
        for key, event in (session.pending_turns or {}).items():
            text = turn_key_text(key)
            if text not in self._seen:
                clock = TurnClock(self._clock.window(session.started_at, now), self._clock.at(session.last_event_at))
                found = view(
                    as_metrics(event), text, "completed", clock, [],
                    slow_turn=self._slow_turn, content=False, received=session.last_event_at,
                )  # fmt: skip
                yield msgspec.structs.replace(found.turn, received=None, fields={})

    def _free_tools(self) -> list[Tool]:
        """The tools that belong to no counted turn yet."""
        return [*self._tools, *self._running.values()]

    def _tools_of(self, key: str) -> list[Tool]:
        seen = self._seen.get(key)
        return [] if seen is None else seen.turn.tools

    def _marks(self, kind: MarkKind, text: Callable[[Any], str | None]) -> Callable[[Any, float, float], None]:
        def handle(event: object, _: float, at: float) -> None:
            self._mark(Mark(kind=kind, at=at, text=shown(text(event))))

        return handle

    def _mark(self, mark: Mark) -> None:
        self._found.append(mark)
        del self._found[:-MOST_MARKS]

    def _backchannel(self, event: UserBackchannel, _: float, at: float) -> None:
        if not event.is_interruption:
            likely = None if event.probability is None else f"{event.probability:.2f}"
            self._mark(Mark(kind="backchannel", at=at, text=likely))

    def _tool_called(self, event: ToolCalled, _: float, at: float) -> None:
        session = self._journal.session
        if session is not None and session.app is not None and event.id is not None:
            self._running[shorten_id(event.id)] = Tool(name=shown(event.tool_name), start=at, end=None)
        else:
            self._tools.append(Tool(name=shown(event.tool_name), start=at, end=at))

    def _tools_executed(self, event: ToolExecuted, _: float, at: float) -> None:
        for call in event.calls or ():
            self._tools.append(Tool(name=shown(call.name), start=at, end=at, failed=bool(call.is_error)))
        if event.tool_name:
            self._tools.append(Tool(name=shown(event.tool_name), start=at, end=at))

    def _agent_started(self, event: AgentToolStarted, _: float, at: float) -> None:
        if event.agent_tool_id is None:
            self._tools.append(Tool(name=shown(event.agent_tool_type), start=at, end=at))
        else:
            self._running[shorten_id(event.agent_tool_id)] = Tool(name=shown(event.agent_tool_type), start=at, end=None)

    def _agent_ended(self, event: AgentToolCompleted | AgentToolFailed, _: float, at: float) -> None:
        running = self._running.pop(shorten_id(event.agent_tool_id), None) if event.agent_tool_id else None
        name = shown(event.agent_tool_type) or (running.name if running else None)
        start = running.start if running else at
        self._tools.append(Tool(name=name, start=min(start, at), end=at, failed=isinstance(event, AgentToolFailed)))

    def _tool_answered(self, answer: ToolAnswer, _: float, at: float) -> None:
        running = self._running.pop(answer.id, None)
        if running is not None:
            self._tools.append(msgspec.structs.replace(running, end=max(running.start, at), failed=answer.failed))


def _key_of(event: TurnCompleted) -> str:
    if event.turn_number is not None:
        return turn_key_text(turn_key(event.agent_tool_id, event.turn_number))
    return turn_key_text(turn_key_by_id(event.turn_id or ""))


def _dead_air(turn: Turn, present: float) -> Mark | None:
    """The silence in a turn that was dead air. It may go on at ``present``."""
    ends = {stage.stage: stage.end for stage in turn.stages}
    speech = ends.get("user_speech")
    agent = next((stage.start for stage in turn.stages if stage.stage == "agent_speech"), None)
    waits = agent is None and turn.state == "open" and "response" in ends
    if (
        speech is None
        or turn.agent_first
        or (agent is None and not waits)
        or (present if agent is None else agent) - speech <= DEAD_AIR
    ):
        return None
    return Mark(kind="dead_air", at=speech, end=agent)
