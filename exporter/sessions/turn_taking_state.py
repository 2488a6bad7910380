"""What a session remembers of whose turn it is to speak."""


class Moment:
    """When something happened: ``stamp`` by the platform's clock if the event has a timestamp, ``received`` by ours. Unix seconds."""

    __slots__ = ("received", "stamp")

    def __init__(self, stamp: float | None, received: float) -> None:
        self.stamp = stamp
        self.received = received

    def until(self, later: "Moment") -> float:
        """Seconds from here to ``later``: by the platform's clock if both have a stamp, otherwise by ours. Clocks are never mixed.

        Rounded to microseconds: unix times as floats are no more exact than that, and rounding errors must not exceed a limit.
        """
        if self.stamp is not None and later.stamp is not None:
            return round((later.stamp - self.stamp) * 1e6) / 1e6
        return round((later.received - self.received) * 1e6) / 1e6


class TurnTakingState:
    """Who spoke when.

    ``user_started`` and ``user_stopped`` are the latest speech of the caller that no completed turn contains yet, ``agent_started`` is
    when the agent's audio last began. ``agent_reported``: the platform reports what the agent does at all.

    ``turn_end`` is when the caller fell silent in the latest completed turn; it is ``None`` again when the caller speaks.
    ``turn_start`` and ``turn_decided`` are when the caller began to speak in that turn, and when the platform judged it complete.
    ``answered`` is when the agent's audio began after it. ``waiting_for`` is the label of the agent that keeps the caller waiting now.

    Durations in seconds: ``reported_silence`` of the current wait was counted as dead air already. ``unanswered`` is how long the
    caller has waited in vain since the agent was last heard. ``last_wait`` is how long the caller waited until it was heard then.
    """

    __slots__ = (
        "agent_reported",
        "agent_started",
        "answered",
        "last_wait",
        "reported_silence",
        "turn_decided",
        "turn_end",
        "turn_start",
        "unanswered",
        "user_started",
        "user_stopped",
        "waiting_for",
    )

    def __init__(self) -> None:
        self.user_started: Moment | None = None
        self.user_stopped: Moment | None = None
        self.agent_started: Moment | None = None
        self.agent_reported = False
        self.turn_end: Moment | None = None
        self.turn_start: Moment | None = None
        self.turn_decided: Moment | None = None
        self.answered: Moment | None = None
        self.waiting_for: str | None = None
        self.reported_silence = 0.0
        self.unanswered = 0.0
        self.last_wait = 0.0
