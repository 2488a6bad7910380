"""Everything that /live shows, made from the journals, the sessions and the store. It has no clock and sends nothing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from exporter.analysis.turn_taking import TurnTakingTracker
from exporter.catalogue.declarations import MetricSpec
from exporter.exporters.live.channel import Channel
from exporter.exporters.live.last_minutes import LastMinutes
from exporter.exporters.live.messages import (
    Call,
    CallDetail,
    CallDetailChange,
    CallList,
    Change,
    LiveConfig,
    State,
    Summary,
    SummaryAnswer,
    TurnNote,
)
from exporter.exporters.live.otlp_state import OtlpWatch
from exporter.exporters.live.problems import Problems
from exporter.exporters.live.reader import CallReader
from exporter.exporters.live.rows import row
from exporter.exporters.live.tally import Tally
from exporter.metrics import self_metrics
from exporter.metrics.store import Store
from exporter.sessions.call_journal import CallJournal
from exporter.sessions.kept_calls import KeptCalls
from exporter.sessions.registry import SessionRegistry
from exporter.sessions.shown_text import shown
from exporter.sessions.turn_notes import TurnNotes

MOST_LISTED: Final = 1_000
"""Live calls in the list at most: the ones that began last."""
_SLICE: Final = 10
_REFRESH_EVERY: Final = 2.0
"""Seconds after which every row is made again: some change as time passes."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What the state is made from. ``last_scrape`` returns when /metrics was scraped, in unix seconds, or ``None``."""

    kept_calls: KeptCalls
    notes: TurnNotes
    store: Store
    sessions: SessionRegistry
    turn_taking: TurnTakingTracker
    otlp_signals: tuple[str, ...] = ()
    last_scrape: Callable[[], float | None] = field(default=lambda: None)


class LiveState:
    """The state of one process. ``boot`` names this run. ``now`` is always unix seconds."""

    def __init__(self, sources: Sources, config: LiveConfig, boot: str) -> None:
        self._sources = sources
        self.config = config
        self.boot = boot
        self.last_minutes = LastMinutes(sources.store, config.objective)
        self.problems = Problems(sources.store)
        self.otlp = OtlpWatch(sources.store, sources.otlp_signals)
        self._events: tuple[float, float] | None = None
        self._rate = 0.0
        self._refreshed_at = 0.0
        self._rows: dict[CallJournal, tuple[object, ...]] = {}
        sources.kept_calls.before_drop = lambda journal: _count_dropped(journal, config.slow_turn)

    def find(self, call_id: str) -> CallJournal | None:
        """The journal of a call."""
        return self._sources.kept_calls.find(call_id)

    def reader(self, journal: CallJournal) -> CallReader:
        """A reader of the call."""
        return CallReader(journal, slow_turn=self.config.slow_turn, content=self.config.content)

    def row(self, journal: CallJournal, now: float) -> Call:
        """The call's row in the list."""
        return row(journal, now, self.config.slow_turn)

    def look(self, now: float) -> None:
        """Read the counters that change all the time. To be called about once a second."""
        self.problems.look(now)
        processed = self._total(self_metrics.FRAMES)
        if self._events is not None and now > self._events[0]:
            self._rate = max(0.0, processed - self._events[1]) / (now - self._events[0])
        self._events = now, processed

    def summary(self, now: float, viewers: int) -> Summary:
        """All calls together."""
        sources = self._sources
        scraped = sources.last_scrape()
        return Summary(
            calls=sources.sessions.active,
            waiting=sources.turn_taking.waiting,
            connections=int(self._total(self_metrics.CONNECTIONS_ACTIVE)),
            events_per_second=round(self._rate, 1),
            windows=self.last_minutes.windows,
            shares=self.last_minutes.shares,
            otlp=self.otlp.states(now),
            last_scrape=None if scraped is None else round(scraped, 3),
            memory=sources.kept_calls.used,
            viewers=viewers,
        )

    def slow_turns(self, now: float) -> list[TurnNote]:
        """The slow and failed turns of the last hour."""
        return [
            TurnNote(
                call=turn.call,
                turn=turn.turn,
                agent=turn.agent,
                at=turn.at,
                wait=turn.wait,
                bottleneck=turn.bottleneck,
                error=shown(turn.error),
            )
            for turn in self._sources.notes.latest(now)
        ]

    def listed(self) -> tuple[list[CallJournal], int]:
        """The journals of the calls in the list, and how many live calls are not in it."""
        kept = self._sources.kept_calls
        surplus = max(0, kept.live - MOST_LISTED)
        return list(islice(kept, surplus, None)), surplus + kept.left_out

    def call_list(self, now: float) -> Iterator[CallList | None]:
        """The list, made in slices: the last item is the list."""
        journals, left_out = self.listed()
        calls = []
        for number, journal in enumerate(journals):
            if number % _SLICE == _SLICE - 1:
                yield None
            if not journal.forgotten:
                calls.append(self.row(journal, now))
        yield CallList(now=now, calls=calls, left_out=left_out)

    def summary_answer(self, now: float, viewers: int) -> SummaryAnswer:
        """The answer to a request for the summary."""
        return SummaryAnswer(
            now=now,
            boot=self.boot,
            config=self.config,
            summary=self.summary(now, viewers),
            heat=self.last_minutes.heat,
            slow_turns=self.slow_turns(now),
            problems=self.problems.latest(),
        )

    def update_list(self, channel: Channel, now: float, viewers: int) -> Iterator[None]:
        """Bring the list's channel up to date, in slices: between two of them other work may be done."""
        channel.set_part("summary", self.summary(now, viewers))
        yield
        channel.set_part("heat", self.last_minutes.heat)
        yield
        journals, left_out = self.listed()
        channel.set_part("left_out", left_out)
        refresh = now - self._refreshed_at >= _REFRESH_EVERY or not self._rows
        if refresh:
            self._refreshed_at = now
            channel.set_part("slow_turns", self.slow_turns(now))
            channel.set_part("problems", self.problems.latest())
        yield
        ids = set()
        for number, journal in enumerate(journals):
            if number % _SLICE == _SLICE - 1:
                yield
            if journal.forgotten:
                continue
            ids.add(journal.id)
            known = _signature(journal)
            if refresh or self._rows.get(journal) != known:
                self._rows[journal] = known
                channel.set_item(journal.id, self.row(journal, now))
        for key in set(channel.keys()) - ids:
            channel.remove(key)
        if refresh:
            self._rows = {journal: self._rows[journal] for journal in journals if journal in self._rows}

    def forget_rows(self) -> None:
        """Nobody looks at the list any more."""
        self._rows.clear()

    def list_channel(self, now: Callable[[], float]) -> Channel:
        """A channel for the list; ``now`` is the clock of its messages."""

        def state(number: int, parts: Mapping[str, Any], items: list[Any]) -> State:
            return State(seq=number, now=now(), boot=self.boot, config=self.config, calls=items, **parts)

        def change(number: int, parts: Mapping[str, Any], items: list[Any], gone: list[str]) -> Change:
            return Change(seq=number, now=now(), calls=items, gone=gone, **parts)

        return Channel(state, change)

    def _total(self, spec: MetricSpec) -> float:
        layout, index = self._sources.store.place(spec)
        return float(sum(row[index] or 0.0 for row in layout.rows.values()))


def update_call(state: LiveState, channel: Channel, reader: CallReader, journal: CallJournal, now: float) -> Iterator[None]:
    """Bring an opened call's channel up to date, in slices."""
    yield from reader.read()
    if journal.forgotten:
        return
    turns = reader.turns(now)
    for number, turn in enumerate(turns):
        channel.set_item(turn.key, turn)
        if number % _SLICE == _SLICE - 1:
            yield
    if state.find(journal.id) is not journal:
        return  # it was forgotten meanwhile
    for key in set(channel.keys()) - {turn.key for turn in turns}:
        channel.remove(key)
    channel.set_part("marks", reader.marks(turns, now))
    channel.set_part("truncated", reader.truncated())
    channel.set_part("lag", reader.lag(now))
    channel.set_part("call", state.row(journal, now))


def call_channel(now: Callable[[], float]) -> Channel:
    """A channel for an opened call; ``now`` is the clock of its messages."""

    def state(number: int, parts: Mapping[str, Any], items: list[Any]) -> CallDetail:
        return CallDetail(seq=number, now=now(), turns=items, **parts)

    def change(number: int, parts: Mapping[str, Any], items: list[Any], gone: list[str]) -> CallDetailChange:
        return CallDetailChange(seq=number, now=now(), turns=items, gone=gone, **parts)

    return Channel(state, change)


def _signature(journal: CallJournal) -> tuple[object, ...]:
    """What changes with each event of a call."""
    session = journal.session
    if session is None:
        return journal.id, journal.count, journal.ended_at
    return journal.id, journal.count, journal.ended_at, session.last_event_at, session.connections, session.agent_label


def _count_dropped(journal: CallJournal, slow_turn: float) -> None:
    if journal.tally is None:
        journal.tally = Tally(slow_turn)
    journal.tally.skip(journal)
