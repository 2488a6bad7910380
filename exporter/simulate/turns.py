"""One turn as it happened: when each side spoke, and which parts the wait between them had. It knows nothing of the wire."""

from dataclasses import dataclass, field

from exporter.simulate import phrases
from exporter.simulate.session import ModelUsage, Session

_MS_PER_CHARACTER = 62  # about 16 characters of speech a second
_TOLERATED_WAIT_MS = 1500  # a caller does not hang up over a shorter wait


@dataclass(slots=True, kw_only=True)
class Parts:
    """The parts of the wait for the agent's first word, in whole milliseconds so that the sum is exact.

    ``rest`` is network and playout. It is negative if the model began to answer before the turn was decided.
    """

    stt_delay: int = 0
    turn_decision: int = 0
    callback: int = 0
    llm_ttft: int = 0
    realtime_ttft: int = 0
    tool: int = 0
    tts_ttfb: int = 0
    rest: int = 0

    @property
    def endpointing(self) -> int:
        """From the end of speech until the turn is decided. STT and turn decision run in parallel, so the longer counts."""
        return max(self.stt_delay, self.turn_decision)

    @property
    def chain(self) -> int:
        """The sum of the parts that turn.metrics has a field for."""
        return self.endpointing + self.callback + self.llm_ttft + self.realtime_ttft + self.tts_ttfb

    @property
    def perceived(self) -> int:
        """From the caller's last word to the agent's first."""
        return self.chain + self.tool + self.rest


@dataclass(slots=True, kw_only=True)
class Turn:
    """A turn. Moments are in milliseconds since the call's start. ``agent_started`` is None if the agent never spoke.

    ``completed_at`` and ``metrics_at`` are when the platform sends turn.completed and turn.metrics; None means never. Fields of
    ``turn.metrics`` whose names begin with ``omitted_prefix`` are left out; it is empty if none are.
    """

    number: int
    turn_id: str
    agent_tool_id: str | None
    user_text: str = ""
    agent_text: str
    source: str = "generate_reply"
    user_started: int
    user_stopped: int
    parts: Parts
    agent_started: int | None = None
    agent_stopped: int | None = None
    agent_first: bool = False
    typed: bool = False
    tool: str = ""  # "app": a tool of the customer's app; "server": a tool of the platform
    interrupted: bool = False
    resumed: bool | None = None  # after a false interruption: whether the agent continued
    backchannels: int = 0
    error: str | None = None
    hung_up_at: int | None = None
    went_on_at: int | None = None  # when the caller continued although the turn had been decided
    used: list[ModelUsage] = field(default_factory=list)
    completed_at: int | None = None
    metrics_at: int | None = None
    omitted_prefix: str = ""
    garbled: bool = False  # its report holds invalid values

    @property
    def decided(self) -> int:
        """When the turn detector decided that the caller's turn is over."""
        return self.user_stopped + self.parts.endpointing

    @property
    def asked(self) -> int:
        """When the model was asked for an answer."""
        return self.decided + self.parts.callback

    @property
    def ended(self) -> int:
        """When the turn was over for both sides."""
        if self.hung_up_at is not None:
            return self.hung_up_at
        if self.agent_stopped is not None:
            return self.agent_stopped
        return self.asked + 4000 if self.went_on_at is None else self.went_on_at + 200

    @property
    def cut_short(self) -> bool:
        """Whether the caller continued before the agent said anything."""
        return self.went_on_at is not None and self.agent_started is None

    @property
    def generated(self) -> bool:
        """Whether the model began to answer before it was cancelled."""
        return not self.cut_short or self.asked + self.parts.llm_ttft <= (self.went_on_at or 0)

    @property
    def audio_ms(self) -> int:
        """How long the whole answer takes to speak, in milliseconds."""
        return len(self.agent_text) * _MS_PER_CHARACTER


def agent_turn(session: Session, at: int, text: str, source: str) -> Turn:
    """A turn that the agent begins: a greeting, a reprompt, a message after the tone."""
    number = session.next_number()
    parts = Parts(tts_ttfb=round(session.profile.stages.tts_ttfb.draw(session.rng)))
    if session.s2s:
        parts = Parts(realtime_ttft=round(session.profile.stages.realtime_ttft.draw(session.rng)))
    turn = Turn(
        number=number,
        turn_id=f"t-{session.turns}",
        agent_tool_id=session.agent_tool_id,
        agent_text=text,
        source=source,
        user_started=at,
        user_stopped=at,
        parts=parts,
        agent_first=True,
    )
    turn.agent_started = at + parts.chain + 60
    turn.agent_stopped = turn.agent_started + turn.audio_ms
    return turn


def caller_turn(session: Session, at: int, text: str | None = None, *, spoken: bool = False) -> Turn:
    """A turn of the caller, who speaks from ``at`` on and is usually answered. Unless ``spoken``, the caller sometimes types."""
    rng, chances = session.rng, session.profile.chances
    user_text = text or phrases.user_text(rng)
    length = round(len(user_text.split()) / rng.uniform(2.0, 3.4) * 1000) + 250
    typed = session.happens(chances.typed) and not session.s2s and not spoken
    number = session.next_number()
    turn = Turn(
        number=number,
        turn_id=f"t-{session.turns}",
        agent_tool_id=session.agent_tool_id,
        user_text=user_text,
        agent_text=phrases.agent_text(rng),
        user_started=at,
        user_stopped=at if typed else at + length,
        parts=Parts(),
        typed=typed,
        tool=rng.choice(("app", "server")) if session.happens(chances.tool) else "",
    )
    turn.parts = _parts(session, turn)
    if session.happens(chances.unanswered) or session.silent:
        _leave_unanswered(session, turn)
    else:
        _answer(session, turn)
    return turn


def hang_up_within(session: Session, turn: Turn) -> None:
    """The caller hangs up during the turn: while waiting for the answer or while the agent speaks. That is no interruption."""
    turn.hung_up_at = session.rng.randint(turn.user_stopped + 50, max(turn.ended - 50, turn.user_stopped + 100))
    turn.interrupted, turn.resumed, turn.backchannels = False, None, 0
    if turn.agent_started is not None and turn.agent_started >= turn.hung_up_at:
        turn.agent_started, turn.agent_stopped, turn.agent_text = None, None, ""
    elif turn.agent_started is not None:
        turn.agent_stopped = turn.hung_up_at


def loses_patience(session: Session, turn: Turn) -> bool:
    """Draw whether the caller hangs up because of this turn: after a late answer, or while no answer comes."""
    in_time = turn.agent_started is not None and turn.parts.perceived <= _TOLERATED_WAIT_MS
    if in_time or not session.may_happen(session.profile.chances.gives_up):
        return False
    if turn.agent_started is None:
        turn.hung_up_at = max(turn.user_stopped + session.rng.randint(2500, 8000), turn.asked + 100)
        turn.error = None  # the caller hung up before the platform reported an error
    return True


def go_on_early(session: Session, turn: Turn) -> None:
    """The caller had only paused and continues: before the agent begins, which then stays silent, or just after, which stops it."""
    rng = session.rng
    if turn.agent_started is None:
        return
    turn.interrupted, turn.resumed, turn.backchannels = False, None, 0
    if rng.random() < 0.5:
        latest = min(turn.agent_started, turn.user_stopped + 2900) - 1
        turn.went_on_at = rng.randint(turn.asked + 1, max(latest, turn.asked + 1))
        turn.agent_started, turn.agent_stopped, turn.agent_text = None, None, ""
    else:
        turn.went_on_at = turn.agent_started + rng.randint(50, 480)
        turn.interrupted = True
        turn.agent_stopped = turn.went_on_at + rng.randint(120, 450)


def _parts(session: Session, turn: Turn) -> Parts:
    rng, stages = session.rng, session.profile.stages
    parts = Parts(rest=round(stages.rest.draw(rng)))
    if session.s2s:
        parts.turn_decision = round(stages.endpoint.draw(rng))
        parts.realtime_ttft = round(stages.realtime_ttft.draw(rng))
    else:
        parts.stt_delay = 0 if turn.typed else round(stages.stt_delay.draw(rng))
        parts.turn_decision = 0 if turn.typed else round(stages.turn_decision.draw(rng))
        parts.callback = round(stages.callback.draw(rng))
        parts.llm_ttft = round(stages.llm_ttft.draw(rng))
        parts.tts_ttfb = round(stages.tts_ttfb.draw(rng))
        if session.happens(session.profile.chances.preemptive) and not turn.tool:
            # The model was asked before the turn was decided: part of its time passed while the decision was pending.
            parts.rest -= min(parts.llm_ttft, parts.endpointing) // 2
    if turn.tool:
        parts.tool = round(stages.tool.draw(rng))
    return parts


def _answer(session: Session, turn: Turn) -> None:
    rng, chances = session.rng, session.profile.chances
    turn.agent_started = turn.user_stopped + turn.parts.perceived
    turn.agent_stopped = turn.agent_started + turn.audio_ms
    if session.happens(chances.interruption):
        turn.interrupted = True
        turn.agent_stopped = turn.agent_started + round(turn.audio_ms * rng.uniform(0.15, 0.9))
        if session.happens(chances.false_interruption):
            turn.resumed = rng.random() < 0.7
    elif turn.audio_ms > 2500 and session.happens(chances.backchannel):
        turn.backchannels = rng.choice((1, 1, 2))


def _leave_unanswered(session: Session, turn: Turn) -> None:
    turn.agent_text = ""
    stages = ("realtime",) if session.s2s else ("llm", "llm", "tts", "stt")
    turn.error = session.rng.choice(stages) if not session.silent and session.happens(0.7) else None
