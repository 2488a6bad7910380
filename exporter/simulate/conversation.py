"""A managed call from start to end: greeting, turns, and what happens between them."""

from collections.abc import Iterator

from exporter.simulate import faults, phrases
from exporter.simulate.account import Account, account_of
from exporter.simulate.moments import Event, Timed
from exporter.simulate.narrate import agent_state, narrate, stamped, user_state
from exporter.simulate.session import Session
from exporter.simulate.turns import Turn, agent_turn, caller_turn, go_on_early, hang_up_within, loses_patience
from exporter.simulate.waits import Ending

_SUB_AGENTS = ("collect_email", "collect_digits", "verify_identity")


class Conversation:
    """One call. It yields batches of events. No event is older than the oldest event of the previous batch."""

    def __init__(self, session: Session, turns: int | None) -> None:
        """``turns`` is how many turns the caller takes at most; None draws it from the profile."""
        rng, chances = session.rng, session.profile.chances
        self._session = session
        self._turn_limit = turns if turns is not None else max(1, round(session.profile.turns.draw(rng)))
        self._at = rng.randint(80, 300)
        self._reason = ""
        self._error: str | None = None
        self._sub_agent_left = 0
        self._sub_agent_kind = ""
        self._saved_number = 0
        self._hangs_up = session.happens(chances.hang_up_mid_turn)
        self._fails_at = rng.randrange(1, self._turn_limit + 1) if session.happens(chances.fallback) else 0
        self.dropped = session.happens(chances.dropped)
        self._silent_from = rng.randint(1, self._turn_limit) if session.may_happen(chances.falls_silent) else self._turn_limit + 1
        self._caller_goes_on = False
        self._turns_played: list[Turn] = []
        self._fell_back_after: int | None = None
        self._machine_at: int | None = None

    def batches(self) -> Iterator[list[Timed]]:
        """The whole call. If :attr:`dropped` is set, ``session.ended`` is never sent."""
        yield [(0, self._started())]
        if self._session.happens(self._session.profile.chances.voicemail):
            yield from self._answering_machine_check()
        elif self._session.happens(self._session.profile.chances.greeting):
            yield from self._agent_says(self._session.rng.choice(phrases.GREETINGS), "greeting")
        for index in range(1, self._turn_limit + 1):
            if self._reason:
                break
            self._session.silent = index >= self._silent_from
            yield from self._one_turn(last=index == self._turn_limit)
            yield from self._between_turns(index)
        if not self.dropped:
            yield from self._farewell()

    @property
    def ended_at(self) -> int:
        """How far the call has come, in milliseconds since its start; after the last batch, its end."""
        return self._at

    def account(self, *, garbled: bool) -> Account:
        """The account of the call; ask for it after the last batch. ``garbled``: it is reported in an earlier generation."""
        ending = Ending(self._at, dropped=self.dropped, machine_at=self._machine_at, fell_back_after=self._fell_back_after)
        return account_of(self._session, self._turns_played, ending, garbled=garbled)

    def _started(self) -> Event:
        session, rng = self._session, self._session.rng
        return {
            "type": "session.started",
            "agent_session_id": session.session_id,
            "call_id": session.call_id,
            "caller": phrases.phone_number(rng),
            "callee": phrases.phone_number(rng),
            "agent_id": session.agent_id,
            "audio_format": "pcm",
            "sample_rate": 16000,
            "channels": 1,
            "frame_size_ms": 20,
            "plc_enabled": True,
        }

    def _agent_says(self, text: str, source: str) -> Iterator[list[Timed]]:
        turn = agent_turn(self._session, self._at, text, source)
        yield self._play_turn(turn)
        self._pause_after(turn)

    def _play_turn(self, turn: Turn) -> list[Timed]:
        self._turns_played.append(turn)
        return narrate(self._session, turn)

    def _one_turn(self, *, last: bool) -> Iterator[list[Timed]]:
        session = self._session
        yield from self._enter_sub_agent(last)
        turn = caller_turn(session, self._at, spoken=self._caller_goes_on)
        if last and self._hangs_up:
            hang_up_within(session, turn)
            self._reason = "user_hangup"
        elif loses_patience(session, turn):
            self._reason = "user_hangup"
        elif not last and session.may_happen(session.profile.chances.premature):
            go_on_early(session, turn)
        self._caller_goes_on = turn.went_on_at is not None
        yield self._play_turn(turn)
        self._pause_after(turn)
        yield from self._leave_sub_agent(turn)

    def _pause_after(self, turn: Turn) -> None:
        rng = self._session.rng
        if turn.hung_up_at is not None:
            self._at = turn.hung_up_at + rng.randint(200, 600)
        elif turn.went_on_at is not None:
            self._at = turn.went_on_at
        elif turn.interrupted and turn.resumed is None:
            self._at = max(turn.ended - rng.randint(150, 400), turn.user_stopped)  # a caller who barges in is already speaking
        else:
            self._at = turn.ended + rng.randint(400, 2200)

    def _enter_sub_agent(self, last: bool) -> Iterator[list[Timed]]:
        session = self._session
        if last or session.agent_tool_id or not session.happens(session.profile.chances.sub_agent):
            return
        session.agent_tool_id = f"at-{session.turns + 1}"
        self._sub_agent_kind = session.rng.choice(_SUB_AGENTS)
        self._sub_agent_left = session.rng.randint(1, 3)
        self._saved_number, session.number = session.number, 0
        yield [(self._at, self._sub_agent_event("started"))]

    def _leave_sub_agent(self, turn: Turn) -> Iterator[list[Timed]]:
        session = self._session
        if session.agent_tool_id is None:
            return
        self._sub_agent_left -= 1
        if self._sub_agent_left > 0 and not self._reason:
            return
        failed = turn.agent_started is None or session.happens(0.15)
        outcome: Event = {"error": "simulated: gave up"} if failed else {"result": {"email": "test@example.com"}}
        event = {**self._sub_agent_event("failed" if failed else "completed"), **outcome}
        session.agent_tool_id, session.number = None, self._saved_number
        if turn.hung_up_at is None:
            yield [(max(turn.ended, self._at - 100), event)]
            self._at = max(turn.ended, self._at)

    def _sub_agent_event(self, what: str) -> Event:
        tool_id = self._session.agent_tool_id
        return {"type": f"agent_tool.{what}", "agent_tool_type": self._sub_agent_kind, "agent_tool_id": tool_id}

    def _between_turns(self, index: int) -> Iterator[list[Timed]]:
        session, at = self._session, self._at
        chances, usual = session.profile.chances, self._turn_limit
        if self._reason or self._caller_goes_on:
            return
        asides: list[Timed] = faults.unknown_event(session, at)
        if session.happens(chances.keypress / usual):
            asides.append((at, {"type": "user.dtmf", "digit": session.rng.choice("0123456789*#")}))
            asides.append((at + 300, {"type": "dtmf.sent", "digits": "123#"}))
        if session.happens(chances.clip / usual):
            asides.append((at, {"type": "play.completed"}))
        if session.happens(chances.handoff / usual):
            asides.append((at, {"type": "agent.handoff", "new_agent": session.rng.choice(("billing", "retention"))}))
        if session.happens(chances.participant / usual):
            asides += self._supervisor_listens_in(at)
        if index == self._fails_at and not session.s2s:
            asides += self._main_model_fails(at)
        if index % 3 == 0:
            asides.append((at, session.usage.event()))
        if asides:
            yield asides
            self._at += 400
        if session.happens(chances.idle):
            yield from self._caller_falls_silent()

    def _supervisor_listens_in(self, at: int) -> list[Timed]:
        member = {"member_id": f"m-{self._session.turns}", "role": "supervisor"}
        joined = {"type": "participant.added", **member, "target": phrases.phone_number(self._session.rng)}
        return [(at, joined), (at + 4000, {"type": "participant.removed", **member})]

    def _main_model_fails(self, at: int) -> list[Timed]:
        session = self._session
        failed = session.llm.key
        self._fell_back_after = len(self._turns_played)
        session.fall_back()
        error = {"type": "session.error", "code": "llm_timeout", "message": "simulated: provider did not answer in 10 s"}
        return [(at, error), stamped(session, at + 5, "llm.availability_changed", llm=failed, available=False)]

    def _caller_falls_silent(self) -> Iterator[list[Timed]]:
        session = self._session
        for retry in (1, 2):
            self._at += 6000
            idle = {"type": "user.idle", "retry_count": retry, "reason": "no_response"}
            yield [user_state(session, self._at, "listening", "away"), (self._at + 5, idle)]
            yield from self._agent_says(phrases.REPROMPT, "idle")
            if session.happens(0.7):
                return
        self._at += 6000
        yield [(self._at, {"type": "user.idle", "retry_count": 2, "reason": "max_retries_exhausted"})]
        self._reason = "agent_hangup"

    def _answering_machine_check(self) -> Iterator[list[Timed]]:
        session, rng = self._session, self._session.rng
        machine = rng.random() < 0.45
        if machine and rng.random() < 0.3:
            # The machine's announcement was taken for a caller and answered before the machine was recognised.
            turn = caller_turn(session, self._at, phrases.VOICEMAIL_GREETING)
            yield self._play_turn(turn)
            self._pause_after(turn)
        self._at += rng.randint(900, 2500)
        fields: Event = {"result": "machine" if machine else "human", "method": rng.choice(("audio", "llm"))}
        if machine:
            fields["transcript"] = phrases.VOICEMAIL_GREETING
            self._machine_at = self._at
        yield [(self._at, {"type": "voicemail.detected", **fields})]
        if not machine:
            yield from self._agent_says(rng.choice(phrases.GREETINGS), "greeting")
            return
        if rng.random() < 0.7:
            self._at += rng.randint(800, 3000)
            yield [(self._at, {"type": "voicemail.beep", "frequency_hz": 1000.0, "duration_ms": rng.randint(250, 600)})]
        yield from self._agent_says(phrases.VOICEMAIL_MESSAGE, "voicemail")
        self._reason = "agent_hangup"

    def _farewell(self) -> Iterator[list[Timed]]:
        session, at = self._session, self._at
        chances, rng = session.profile.chances, session.rng
        last_words: list[Timed] = []
        if not self._reason and session.happens(chances.transfer):
            self._reason = "transfer"
            last_words.append((at, {"type": "call.transferred", "destination": [phrases.phone_number(rng)]}))
        elif not self._reason and session.happens(chances.ends_in_error):
            self._reason, self._error = "error", "simulated: media connection lost"
            last_words.append((at, {"type": "session.error", "code": "media_lost", "message": self._error}))
        self._reason = self._reason or rng.choice(("user_hangup", "user_hangup", "agent_hangup"))
        if session.turns:
            last_words.append((at + 20, session.usage.event()))
        last_words.append(agent_state(session, at + 30, "listening", "idle"))
        yield last_words
        self._at = at + 50
        yield [(self._at, self._ended())]

    def _ended(self) -> Event:
        session, usage = self._session, self._session.usage
        return {
            "type": "session.ended",
            "duration_seconds": round(self._at / 1000),
            "turn_count": session.turns,
            "reason": self._reason,
            "started_at": session.moments.rfc3339(0),
            "ended_at": session.moments.rfc3339(self._at),
            "error": self._error,
            "transcript": session.transcript,
            "stt_duration": usage.seconds("stt_usage"),
            "llm_duration": round(session.turns * 0.8, 1),
            "tts_duration": usage.seconds("tts_usage"),
        }
