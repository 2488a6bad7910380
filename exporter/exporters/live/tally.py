"""What a row of the list of calls adds up: the turns of a call, its waits, interruptions and errors. Read from the call's journal."""

from typing import Any

from exporter.analysis.latency_breakdown import parts_of
from exporter.analysis.turn_counter import was_answered, was_answered_without_metrics
from exporter.catalogue.operator_metrics import TURN_COMPONENTS, TurnComponent
from exporter.events.session import SessionError
from exporter.events.speech import AgentSpeechInterrupted
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.exporters.live.recorded_turn import wait_of
from exporter.sessions.call_journal import CallJournal, Entry, WithoutMetrics
from exporter.sessions.kept_turn import unpacked_outline

_MOST_LATE = 64


class Tally:
    """The sums of one call up to the journal's entry ``position``. Turns whose caller waited longer than ``slow_turn`` are slow."""

    __slots__ = ("errors", "interruptions", "last", "late", "position", "slow", "slow_turn", "turns", "unanswered", "worst")

    def __init__(self, slow_turn: float) -> None:
        self.slow_turn = slow_turn
        self.position = 0
        self.turns = self.slow = self.unanswered = self.interruptions = self.errors = 0
        self.last: tuple[float, TurnComponent] | None = None
        self.worst: tuple[float, TurnComponent] | None = None
        self.late: set[tuple[Any, Any]] = set()

    def read(self, journal: CallJournal, *, human: bool = True) -> None:
        """Read what was kept since. If no ``human`` answered the call, nobody waits."""
        for kept in self._new(journal):
            if isinstance(kept, bytes):
                self._turn(unpacked_outline(kept), human)
            else:
                self._other(kept.event)

    def skip(self, journal: CallJournal) -> None:
        """Count what was kept since, without reading turns: they are about to be dropped."""
        found = self._new(journal)
        turns = list(map(type, found)).count(bytes)
        self.turns += turns
        if turns < len(found):
            for kept in found:
                if not isinstance(kept, bytes):
                    self._other(kept.event)

    def _new(self, journal: CallJournal) -> list[Entry]:
        found = journal.since(self.position)
        self.position = journal.count
        return found

    def _turn(self, event: TurnMetrics, human: bool) -> None:
        key = (event.agent_tool_id, event.turn_number)
        if key in self.late:
            self.late.discard(key)
        else:
            self.turns += 1
            self.unanswered += not event.agent_first and not was_answered(event)
        wait = wait_of(event)
        if wait is None or not human:
            return
        parts = parts_of(event, wait * 1000.0)
        self.last = (wait, TURN_COMPONENTS[parts.index(max(parts))])
        self.slow += wait > self.slow_turn
        if self.worst is None or wait > self.worst[0]:
            self.worst = self.last

    def _other(self, kept: object) -> None:
        if isinstance(kept, AgentSpeechInterrupted):
            self.interruptions += 1
        elif isinstance(kept, SessionError):
            self.errors += 1
        elif isinstance(kept, WithoutMetrics):
            self._without_metrics(kept.event)

    def _without_metrics(self, event: TurnCompleted) -> None:
        self.turns += 1
        self.unanswered += not event.agent_first and not was_answered_without_metrics(event)
        if event.turn_number is not None and len(self.late) < _MOST_LATE:
            self.late.add((event.agent_tool_id, event.turn_number))
