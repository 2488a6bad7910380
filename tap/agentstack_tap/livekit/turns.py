"""The turns of one session that go on: which speech begins one, which message and which measurement belong to it, and its end."""

import asyncio
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final

from agentstack_tap.livekit import events
from agentstack_tap.livekit.events import MadeLater, Send
from agentstack_tap.livekit.guarded import guarded
from agentstack_tap.livekit.mapping import read
from agentstack_tap.livekit.turn import Measured, Turn

GRACE: Final = 0.25
"""Seconds after a speech in which the measurements of its requests may still come."""
MOST_TURNS: Final = 64
"""Speeches that are followed at once; when there are more, the oldest is forgotten."""


class Turns:
    """Follows the speeches of a session, and sends what each turn was, and then what ``used`` returns. Times are unix seconds."""

    def __init__(self, session: Any, send: Send, used: Callable[[], MadeLater]) -> None:
        self._session = session
        self._send = send
        self._used = used
        self._open: dict[str, Turn] = {}
        self._unclaimed: tuple[Any, str] | None = None
        self.between = Measured()
        self.count = 0
        """How many turns there were."""
        self.user_active_at = 0.0
        """When the caller was last heard."""

    def of(self, speech_id: Any) -> Turn | None:
        """The turn of a speech, by its id."""
        return self._open.get(speech_id) if isinstance(speech_id, str) else None

    def current(self) -> Turn | None:
        """The turn whose speech is played or is next, else the latest one."""
        handle = read(self._session, "current_speech")
        turn = None if handle is None else self._open.get(str(handle.id))
        return turn or next(reversed(self._open.values()), None)

    def speaking(self) -> Turn | None:
        """The turn whose speech is played or is next, if LiveKit says which that is."""
        handle = read(self._session, "current_speech")
        return None if handle is None else self._open.get(str(handle.id))

    def created(self, turn: Turn) -> None:
        """A speech was created. It may only be prepared, and never be said."""
        if len(self._open) >= MOST_TURNS:
            del self._open[next(iter(self._open))]
        self._open[turn.id] = turn
        turn.handle.add_done_callback(guarded(lambda _: self._speech_done(turn)))
        asyncio.get_running_loop().call_soon(guarded(lambda: self._announce_if_scheduled(turn)))

    def announce(self, turn: Turn) -> None:
        """Send that a speech was created, once it is known that it is no mere preparation."""
        if not turn.announced:
            turn.announced = True
            self._send(partial(events.speech_created, turn.source, turn.created_at, user_initiated=turn.user_initiated))

    def user_said(self, report: Any, text: str) -> None:
        """Find the turn that the caller's message began: by the delay of its end, else it is the latest that has no message."""
        self._unclaimed = report, text
        delay = read(report, "end_of_turn_delay")
        for turn in reversed(self._open.values()):
            if turn.reported_end == delay if delay is not None else self._may_answer(turn):
                self._claim(turn)
                return

    def ended(self, turn: Turn, metrics: Any) -> None:
        """``EOUMetrics``: it was decided that the caller's turn is over, and ``turn`` answers it."""
        turn.ended(metrics)
        if self._unclaimed is not None and read(self._unclaimed[0], "end_of_turn_delay") == turn.reported_end:
            self._claim(turn)
        self.announce(turn)

    def close(self) -> None:
        """The session is over, and all its speeches are."""
        for turn in list(self._open.values()):
            guarded(self._speech_done)(turn)
            guarded(self._finish)(turn)

    def _may_answer(self, turn: Turn) -> bool:
        return turn.source != "say" and not turn.answers_message and turn.scheduled

    def _claim(self, turn: Turn) -> None:
        if self._unclaimed is not None:
            report, text = self._unclaimed
            self._unclaimed = None
            turn.heard(report)
            turn.note_text("user_text", text)

    def _announce_if_scheduled(self, turn: Turn) -> None:
        if turn.scheduled:
            self.announce(turn)

    def _speech_done(self, turn: Turn) -> None:
        if turn.done or turn.id not in self._open:
            return
        turn.done = True
        self._announce_if_scheduled(turn)
        now, cut = time.time(), bool(read(turn.handle, "interrupted"))
        if turn.started is not None:
            turn.silent(now)
            turn.interrupted = cut and self._by_user(turn)
            if turn.interrupted or not cut:
                self._send(partial(events.speech_over, now, turn.spoken, interrupted=turn.interrupted))
        asyncio.get_running_loop().call_later(GRACE, guarded(lambda: self._finish(turn)))

    def _by_user(self, turn: Turn) -> bool:
        """Whether the caller interrupted the agent: as the speech says, else because the caller was heard since it began."""
        source = read(turn.handle, "_interrupt_source")
        if isinstance(source, str):
            return source != "programmatic"
        return read(self._session, "user_state") == "speaking" or self.user_active_at >= (turn.started or 0.0)

    def _finish(self, turn: Turn) -> None:
        """Send what is known of a turn. What was only prepared, or said to nobody and never heard, is none."""
        if self._open.pop(turn.id, None) is None:
            return
        if turn.announced and not turn.has_user and turn.source != "say":
            self._claim(turn)
        if not turn.announced or (not turn.has_user and turn.started is None):
            return
        self.count += 1
        between, self.between = self.between, Measured()
        self._send(partial(events.in_order, partial(turn.report, self.count, between, self._pipeline()), self._used()))

    def _pipeline(self) -> str:
        try:  # before its start and after its end a session has no agent, and says so by raising
            model = read(self._session.current_agent, "llm")
        except Exception:  # noqa: BLE001 - another version may raise another error
            model = None
        model = model or read(self._session, "llm")
        return "s2s" if _is_realtime(type(model).__mro__) else "stt-llm-tts"


@lru_cache(maxsize=16)
def _is_realtime(bases: tuple[type, ...]) -> bool:
    return any(base.__name__ == "RealtimeModel" for base in bases)
