"""What is kept of calls for /live: the turns and the rarer events of each call, within one bound for all calls together.

Keeping one costs a few instructions. What people see of a call is worked out from its journal and from the state of its session when
somebody looks; nothing is if nobody does.
"""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, Final, Protocol

import msgspec

from exporter.bounded_dict import BoundedDict
from exporter.sessions.longest_journals import LongestJournals

STEP: Final = 2
"""Items of :attr:`CallJournal.entries` for each entry: what was kept, and when it was received."""
CHUNK: Final = 4_096
"""Bytes by which the room of a call grows at least; it grows by half."""
MOST_ENDED: Final = 200
"""Ended calls that are kept at most."""
_SHARES: Final = 32
"""One call may use this part of the memory."""
EMPTY: Final = 1_024
"""Bytes that a call without entries counts for."""
_MOST_ALIASES: Final = 1_024
_STAGES: Final[dict[tuple[int, ...], tuple[int, ...]]] = {}
"""The sets of stages that turns had, so that equal ones are one object: there are at most 128."""
TURN_WEIGHT: Final = 200
"""Bytes of a kept turn besides its packed event."""
NOTE_WEIGHT: Final = 320
"""Bytes of a small entry that is no event."""


class Written(Protocol):
    """What spans say of a turn that they were written for, see :class:`exporter.tracing.turn_spans.WrittenTurn`."""

    @property
    def earliest(self) -> int:
        """See :attr:`KeptTurn.earliest`."""

    @property
    def lag(self) -> int:
        """See :attr:`KeptTurn.lag`."""

    @property
    def present(self) -> list[int]:
        """See :attr:`KeptTurn.present`."""


class KeptTurn(msgspec.Struct, frozen=True, gc=False):
    """A turn: its turn.metrics without what was said, see :func:`exporter.sessions.packed_turn.turn_packer`.

    ``earliest`` and ``lag`` are the state of the platform's clock that the turn's spans were made with, ``present`` the stages that
    have one; it is ``None`` if the turn has no spans.
    """

    event: bytes
    earliest: int = 0
    lag: int = 0
    present: tuple[int, ...] | None = None


class KeptEvent(msgspec.Struct, frozen=True, gc=False):
    """An event, or something small that is no event, and its weight in bytes."""

    event: Any
    weight: int


class WithoutMetrics(msgspec.Struct, frozen=True, gc=False):
    """A turn was counted without its turn.metrics: its turn.completed, and as in :class:`KeptTurn` what its spans were made with."""

    event: Any
    earliest: int = 0
    lag: int = 0
    present: tuple[int, ...] | None = None


Kept = KeptTurn | KeptEvent


class JournaledSession(Protocol):
    """What a journal needs to know of a session."""

    id: str
    continued: int
    journal: "CallJournal | None"

    @property
    def trace_id(self) -> str:
        """The session's trace, 32 hexadecimal digits."""


class CallJournal:
    """The events of one call.

    ``entries`` is a flat list, see :data:`STEP`. ``room`` is how many bytes may still be kept before the memory is asked
    for more; ``granted`` is what the call counts for. ``dropped`` entries are no longer there;
    their turns are ``dropped_turns``. ``session`` is ``None`` once the session is gone; ``facts`` then says who it was. ``cost`` is in
    dollars. ``written`` is what spans say of the turn that is handled now. Times are unix seconds.
    """

    __slots__ = (
        "_extend",
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

    def __init__(self, memory: "JournalMemory", session: JournaledSession) -> None:
        self.memory = memory
        self.session: Any = session
        self.id = live_id(session)
        self.entries: list[Any] = []
        self._extend = self.entries.extend
        self.granted = self.room = 0
        self.dropped = self.dropped_turns = 0
        self.ended_at: float | None = None
        self.end_reason: str | None = None
        self.cost: float | None = None
        self.facts: Any = None
        self.written: Written | None = None
        self.tally: Any = None

    def keep_turn(self, event: bytes, now: float) -> None:
        """Keep a turn, whose turn.metrics was received at ``now``."""
        written = self.written
        if written is None:
            kept = KeptTurn(event)
        else:
            present = tuple(written.present)
            kept = KeptTurn(event, written.earliest, written.lag, _STAGES.setdefault(present, present))
            self.written = None
        self._extend((kept, now))
        self.room -= TURN_WEIGHT + len(event)
        if self.room < 0:
            self.memory.make_room(self)

    def keep(self, event: object, weight: int, now: float) -> None:
        """Keep something of ``weight`` bytes, received at ``now``."""
        self._extend((KeptEvent(event, weight), now))
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
        return self.dropped + len(self.entries) // STEP

    def drop(self, wanted: int) -> None:
        """Drop the oldest entries until ``wanted`` bytes are free."""
        entries, freed, end = self.entries, 0, 0
        while freed < wanted and end < len(entries):
            kept: Kept = entries[end]
            if isinstance(kept, KeptTurn):
                self.dropped_turns += 1
                freed += TURN_WEIGHT + len(kept.event)
            else:
                freed += kept.weight
            end += STEP
        self.room += freed
        self.dropped += end // STEP
        del entries[:end]


class JournalMemory:
    """All journals, live and ended, within ``limit`` bytes.

    Ended calls make room first, the oldest first. Then the calls with the longest journals forget their beginning.
    ``before_drop`` is called with a journal whose oldest entries are about to be dropped.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.left_out = 0
        """Live calls that have no journal, because there was no room."""
        self.before_drop: Callable[[CallJournal], None] = lambda _: None
        self._most_a_call = max(limit // _SHARES, EMPTY + CHUNK)
        self._live: dict[CallJournal, None] = {}
        self._ended: dict[CallJournal, None] = {}
        self._longest = LongestJournals(self._live, attrgetter("granted"))
        self._by_id: dict[str, CallJournal] = {}
        self._aliases: BoundedDict[str, str] = BoundedDict(_MOST_ALIASES)

    def __iter__(self) -> Iterator[CallJournal]:
        """All journals: the live ones by age, then the ended ones by their end."""
        return iter((*self._live, *self._ended))

    @property
    def live(self) -> int:
        """How many live calls have a journal."""
        return len(self._live)

    def find(self, call_id: str) -> CallJournal | None:
        """The journal with this id, or that had it before its session was renamed."""
        return self._by_id.get(self._aliases.get(call_id, call_id))

    def open(self, session: JournaledSession) -> None:
        """A session began: give it a journal, if there is room for one."""
        if not self._has_room(EMPTY):
            self.left_out += 1
            return
        journal = CallJournal(self, session)
        journal.granted = EMPTY
        self.used += EMPTY
        session.journal = journal
        self._live[journal] = None
        self._by_id[journal.id] = journal

    def rename(self, session: JournaledSession) -> None:
        """The session has another id now."""
        journal = session.journal
        if journal is None or journal.id == live_id(session):
            return
        before = journal.id
        self._by_id.pop(before, None)
        journal.id = live_id(session)
        self._by_id[journal.id] = journal
        self._aliases.pop(journal.id, None)
        self._aliases[before] = journal.id

    def end(self, session: JournaledSession, reason: str, now: float) -> None:
        """The session ended. Late events are still noted."""
        journal = session.journal
        if journal is None:
            self.left_out = max(0, self.left_out - 1)
            return
        journal.ended_at, journal.end_reason = now, reason
        self._live.pop(journal, None)
        self._ended[journal] = None
        self._give_back(journal)
        while len(self._ended) > MOST_ENDED:
            self.forget(next(iter(self._ended)))

    def revive(self, session: JournaledSession) -> None:
        """A session that had ended goes on."""
        journal = session.journal
        if journal is None:
            self.left_out += 1
            return
        journal.ended_at = journal.end_reason = None
        self._ended.pop(journal, None)
        self._live[journal] = None
        self._longest.add(journal)

    def close(self, session: JournaledSession, facts: object) -> None:
        """The session is gone; ``facts`` says who it was. Its journal stays."""
        journal = session.journal
        if journal is not None:
            journal.session, journal.facts = None, facts
            session.journal = None
            self._give_back(journal)

    def forget(self, journal: CallJournal) -> None:
        """Keep nothing of the call."""
        self._live.pop(journal, None)
        self._ended.pop(journal, None)
        if self._by_id.get(journal.id) is journal:
            del self._by_id[journal.id]
        self.used -= journal.granted
        journal.granted = 0
        if journal.session is not None:
            journal.session.journal = None
            journal.session = None

    def make_room(self, journal: CallJournal) -> None:
        """The journal is longer than its room: enlarge the room, or drop the oldest entries."""
        if journal.session is None:
            return  # it was forgotten while it was written
        granted, missing = journal.granted, -journal.room
        wanted = min(max(CHUNK, granted // 2, missing), self._most_a_call - granted)
        if wanted >= missing and (self.used + wanted <= self.limit or self._has_room(wanted, journal)):
            journal.granted += wanted
            journal.room += wanted
            self.used += wanted
            self._longest.add(journal)
        else:
            self._drop(journal, max(missing, granted // 2))

    def _has_room(self, wanted: int, besides: CallJournal | None = None) -> bool:
        """Whether ``wanted`` bytes are free, after making them so if that is fair."""
        while self.used + wanted > self.limit and self._ended:
            oldest = next((each for each in self._ended if each is not besides), None)
            if oldest is None:
                break
            self.forget(oldest)
        if self.used + wanted <= self.limit:
            return True
        longest = self._longest.longest()
        if longest is None or longest is besides or longest.granted <= wanted + (besides.granted if besides else 0):
            return False
        self._drop(longest, longest.granted // 2)
        self._give_back(longest)
        return self.used + wanted <= self.limit

    def _drop(self, journal: CallJournal, wanted: int) -> None:
        self.before_drop(journal)
        journal.drop(wanted)

    def _give_back(self, journal: CallJournal) -> None:
        """Take back the room that the journal does not use."""
        spare = max(0, min(journal.room, journal.granted - EMPTY))
        journal.room -= spare
        journal.granted -= spare
        self.used -= spare


def live_id(session: JournaledSession) -> str:
    """The id of a call in URLs. It follows from the session's id; of several sessions with one id, the later ones have a number."""
    return f"{session.trace_id}-{session.continued}" if session.continued else session.trace_id
