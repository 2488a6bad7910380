"""What is kept of one call for /live: its turns and its rarer events.

Keeping one costs a few instructions. What people see of a call is worked out from its journal and from the state of its session when
somebody looks; nothing is if nobody does.
"""

from typing import Any, Final, Protocol

import msgspec

from exporter.sessions.kept_turn import Written

TURN_WEIGHT: Final = 96
"""Bytes of a kept turn besides its packed event."""
NOTE_WEIGHT: Final = 320
"""Bytes of a small entry that is no event."""


class KeptEvent(msgspec.Struct, frozen=True, gc=False):
    """An event, or something small that is no event, when it was received (unix seconds), and its weight in bytes."""

    event: Any
    received: float
    weight: int


class WithoutMetrics(msgspec.Struct, frozen=True, gc=False):
    """A turn was counted without its turn.metrics: its turn.completed, and as in :class:`KeptTurn` what its spans were made with."""

    event: Any
    earliest: int = 0
    lag: int = 0
    present: tuple[int, ...] | None = None


Entry = bytes | KeptEvent
"""A packed turn, see :mod:`exporter.sessions.kept_turn`, or something else."""


class JournaledSession(Protocol):
    """What a journal needs to know of a session."""

    id: str
    continued: int
    journal: "CallJournal | None"

    @property
    def trace_id(self) -> str:
        """The session's trace, 32 hexadecimal digits."""


class Memory(Protocol):
    """What a journal needs of the memory that it counts for, see :class:`exporter.sessions.kept_calls.KeptCalls`."""

    def make_room(self, journal: "CallJournal") -> None:
        """The journal is longer than its room."""

    def close(self, session: JournaledSession, facts: object) -> None:
        """The session is gone."""

    def forget(self, journal: "CallJournal") -> None:
        """Keep nothing of the call."""


class CallJournal:
    """The events of one call.

    ``room`` is how many bytes may still be kept before the memory is asked for more; ``granted`` is what the call counts for.
    ``dropped`` entries are no longer there; their turns are ``dropped_turns``. ``session`` is ``None`` once the session is gone;
    ``facts`` then says who it was. ``cost`` is in dollars. ``written`` is what spans say of the turn that is handled now. Times are
    unix seconds.
    """

    __slots__ = (
        "cost",
        "dropped",
        "dropped_turns",
        "end_reason",
        "ended_at",
        "entries",
        "facts",
        "granted",
        "id",
        "memory",
        "room",
        "session",
        "tally",
        "written",
    )

    def __init__(self, memory: Memory, session: JournaledSession) -> None:
        self.memory = memory
        self.session: Any = session
        self.id = live_id(session)
        self.entries: list[Entry] = []
        self.granted = self.room = 0
        self.dropped = self.dropped_turns = 0
        self.ended_at: float | None = None
        self.end_reason: str | None = None
        self.cost: float | None = None
        self.facts: Any = None
        self.written: Written | None = None
        self.tally: Any = None

    def keep_turn(self, packed: bytes) -> None:
        """Keep a packed turn."""
        self.entries.append(packed)
        self.room -= TURN_WEIGHT + len(packed)
        if self.room < 0:
            self.memory.make_room(self)

    def keep(self, event: object, weight: int, now: float) -> None:
        """Keep something of ``weight`` bytes, received at ``now``."""
        self.entries.append(KeptEvent(event, now, weight))
        self.room -= weight
        if self.room < 0:
            self.memory.make_room(self)

    def keep_without_metrics(self, event: object, now: float) -> None:
        """Keep a turn that was counted without its turn.metrics."""
        written, self.written = self.written, None
        known = () if written is None else (written.earliest, written.lag, tuple(written.present))
        self.keep(WithoutMetrics(event, *known), NOTE_WEIGHT, now)

    @property
    def forgotten(self) -> bool:
        """Whether the call is no longer kept."""
        return self.granted == 0

    @property
    def count(self) -> int:
        """How many entries were noted, also those that are no longer there."""
        return self.dropped + len(self.entries)

    def since(self, position: int) -> list[Entry]:
        """The entries from the one that was noted as number ``position``, as far as they are still there."""
        return self.entries[max(0, position - self.dropped) :]

    def drop(self, wanted: int) -> None:
        """Drop the oldest entries until ``wanted`` bytes are free."""
        entries, freed, end, turns, turn_weight = self.entries, 0, 0, 0, TURN_WEIGHT
        while freed < wanted and end < len(entries):
            kept = entries[end]
            if isinstance(kept, bytes):
                turns += 1
                freed += turn_weight + len(kept)
            else:
                freed += kept.weight
            end += 1
        self.dropped_turns += turns
        self.room += freed
        self.dropped += end
        del entries[:end]


def live_id(session: JournaledSession) -> str:
    """The id of a call in URLs. It follows from the session's id; of several sessions with one id, the later ones have a number."""
    return f"{session.trace_id}-{session.continued}" if session.continued else session.trace_id
