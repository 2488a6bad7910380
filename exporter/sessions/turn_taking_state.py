"""What is remembered of who has the floor in a session."""

from dataclasses import dataclass
from typing import NamedTuple


class Moment(NamedTuple):
    """When something happened: by the platform's clock, where the event says so, and when we heard of it; unix seconds."""

    stamp: float | None
    received: float

    def until(self, later: "Moment") -> float:
        """Seconds from here to ``later``, by the platform's clock if it timed both: the two clocks are never mixed.

        To the microsecond: what two times as large as these differ by is no more exact, and a limit must not be passed by noise.
        """
        if self.stamp is not None and later.stamp is not None:
            return round(later.stamp - self.stamp, 6)
        return round(later.received - self.received, 6)


@dataclass(slots=True)
class TurnTakingState:
    """Who spoke when. ``turn`` is when the caller fell silent in the turn last judged over, until the caller speaks again.

    ``answered`` is when the agent's audio began after it. ``waits_for`` is the agent (label) that keeps the caller waiting right now;
    ``told`` of that silence, in seconds, has been counted as dead air. ``silence`` is how long the caller has waited in vain since the
    agent was last heard, ``wait`` how long until it was heard then, both in seconds.
    """

    user_began: Moment | None = None
    user_stopped: Moment | None = None
    agent_began: Moment | None = None
    agent_shows: bool = False
    turn: Moment | None = None
    answered: Moment | None = None
    waits_for: str | None = None
    told: float = 0.0
    silence: float = 0.0
    wait: float = 0.0
