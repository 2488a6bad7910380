"""What is kept of all calls for /live, live and ended, within one bound. What is kept of one call is in its journal."""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Final

from exporter.bounded_dict import BoundedDict
from exporter.sessions.call_journal import CallJournal, JournaledSession, live_id
from exporter.sessions.longest_journals import LongestJournals

CHUNK: Final = 4_096
"""Bytes by which the room of a call grows at least; it grows by half."""
MOST_ENDED: Final = 200
"""Ended calls that are kept at most."""
EMPTY: Final = 1_024
"""Bytes that a call without entries counts for."""
_SHARES: Final = 32
"""One call may use this part of the memory."""
_MOST_ALIASES: Final = 1_024


class KeptCalls:
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
