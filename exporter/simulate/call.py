"""One simulated call: what the platform would send, and when.

The generator reads no clock. The same seed and call number always give the same events.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

from exporter.simulate import faults
from exporter.simulate.account import Account
from exporter.simulate.audio import streaming_call
from exporter.simulate.behaviour import Profile
from exporter.simulate.conversation import Conversation
from exporter.simulate.moments import Event, Moments, Timed
from exporter.simulate.profiles import Fleet, draw_profile
from exporter.simulate.session import open_session

Step = tuple[float, Event]
"""Seconds since the start of the call, and the event in wire form."""

SESSION_STARTS = ("session.started", "agent_session.started", "start")
SESSION_ENDS = ("session.ended", "agent_session.ended", "stop")


def event_name(event: Event) -> str:
    """The event's name: its ``type`` in managed calls, its ``event`` in audio streaming."""
    name: str = event.get("type") or event["event"]
    return name


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is planned but not yet played. ``turns`` is how many turns the caller takes; None draws it from the profile."""

    seed: int
    number: int
    profile: Profile
    session_id: str
    turns: int | None = None
    media_frames: int = 10

    @property
    def expected_seconds(self) -> float:
        """Roughly how long the call lasts at speed 1, in seconds."""
        if self.profile.pipeline == "audio":
            return self.media_frames * 0.02 + 5
        return 15.0 + 11.0 * (self.turns if self.turns is not None else self.profile.turns.median)

    def steps(self, started_at: float, on_account: Callable[[Account], None] = lambda _: None) -> Iterator[Step]:
        """The events in the order of sending. Their timestamps count from ``started_at`` (unix seconds).

        ``on_account`` is called with the account of a managed call after its last event.

        A second ``session.started`` means that the connection was lost just before it and the call resumed on another connection.
        If the events end without ``session.ended`` or ``stop``, the call was dropped.
        """
        rng = Random(f"{self.seed}:{self.number}:events")
        for at, event in self._timed(rng, Moments(started_at), on_account):
            yield at / 1000, event

    def _timed(self, rng: Random, moments: Moments, on_account: Callable[[Account], None]) -> Iterator[Timed]:
        chances = self.profile.chances
        if self.profile.pipeline == "audio":
            yield from streaming_call(rng, moments, self.session_id, self.session_id.replace("st-", "call-"), self.media_frames)
            return
        generation = rng.random()
        resumed_after = rng.randint(6, 30) if rng.random() < chances.resumed else 0
        session = open_session(rng, self.profile, moments, self.session_id)
        conversation = Conversation(session, self.turns)
        events = _ordered(conversation)
        if generation < chances.first_generation:
            events = ((at, old) for at, event in events if (old := faults.first_generation(event)) is not None)
        elif generation < chances.first_generation + chances.second_generation:
            events = ((at, faults.second_generation(event)) for at, event in events)
        yield from _resumed(events, resumed_after, rng) if resumed_after else events
        on_account(conversation.account(garbled=generation < chances.first_generation + chances.second_generation))


def plan_call(seed: int, number: int, fleet: Fleet, *, turns: int | None = None, media_frames: int = 10) -> Call:
    """Plan call ``number`` of a run. Its profile and its id depend on the seed and the number alone."""
    rng = Random(f"{seed}:{number}")
    profile = draw_profile(fleet, rng)
    prefix = "st" if profile.pipeline == "audio" else "as"
    return Call(seed, number, profile, f"{prefix}-{rng.getrandbits(64):016x}", turns, media_frames)


def _ordered(conversation: Conversation) -> Iterator[Timed]:
    """The events of all batches, sorted by time: a report may come late, and a caller may speak before the agent is done."""
    waiting: list[tuple[int, int, Event]] = []
    count = 0
    for batch in conversation.batches():
        for at, event in batch:
            heapq.heappush(waiting, (at, count, event))
            count += 1
        horizon = min(at for at, _ in batch)
        while waiting and waiting[0][0] <= horizon:
            at, _, event = heapq.heappop(waiting)
            yield at, event
    while waiting:
        at, _, event = heapq.heappop(waiting)
        if conversation.dropped and at > conversation.ended_at:
            return
        yield at, event


def _resumed(events: Iterable[Timed], after: int, rng: Random) -> Iterator[Timed]:
    """The same events with the connection lost after ``after`` of them. Events due while it is lost are sent when it is back."""
    gap, back_at, first = rng.randint(150, 900), 0, None
    for count, (at, event) in enumerate(events):
        first = first or event
        if count == after and event_name(event) not in SESSION_ENDS:
            back_at = at + gap
            yield back_at, first
        yield max(at, back_at), event
