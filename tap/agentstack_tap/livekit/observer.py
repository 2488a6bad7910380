"""What happens in one session → the events of one call. Every method runs in the session's event loop.

They note what happened and pass it on. The events are made from that in the tap's thread, by ``events`` and ``turn``.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from agentstack_tap.livekit import events, requests
from agentstack_tap.livekit.events import Send
from agentstack_tap.livekit.mapping import read
from agentstack_tap.livekit.requests import Stage
from agentstack_tap.livekit.turn import Turn
from agentstack_tap.livekit.turns import Turns
from agentstack_tap.livekit.usage import Usage

_STAGES: Final = {"llm_error": "llm", "stt_error": "stt", "tts_error": "tts", "realtime_model_error": "realtime"}
"""Kind of an error → the stage of the turn that failed."""


class SessionObserver:
    """Follows one session. Its public methods are named after LiveKit's events; ``at`` is when one happened, in unix seconds.

    ``start`` are the fields of its ``session.started``; ``on_end`` is called when it is over. ``texts``: send what is said, too.
    """

    def __init__(self, session: Any, send: Send, start: dict[str, Any], on_end: Callable[[], None], *, texts: bool) -> None:
        self._send = send
        self._start = start
        self._on_end = on_end
        self._texts = texts
        self._usage = Usage()
        self._turns = turns = Turns(session, send, self._usage.news)
        self.started_at: float | None = None
        """When the call began."""
        self.ended = False
        self._measured: dict[str, Callable[[Any, float], None]] = {
            "eou_metrics": self._end_of_utterance,
            "llm_metrics": partial(self._request, requests.LLM),
            "tts_metrics": partial(self._request, requests.TTS),
            "realtime_model_metrics": self._realtime_response,
            "stt_metrics": lambda metrics, _: turns.between.note(requests.STT, metrics),
            "vad_metrics": lambda metrics, _: turns.between.note(requests.VAD, metrics),
            "interruption_metrics": lambda metrics, _: turns.between.note(requests.INTERRUPTION, metrics),
        }

    def begin(self, at: float) -> None:
        """The first event has come, and with it the call begins."""
        self.started_at = at
        start = {"type": "session.started", **self._start}
        self._send(lambda: [start])

    def user_state_changed(self, event: Any, at: float) -> None:
        """The caller speaks, listens or is away, as the session's voice activity detector has decided."""
        old, new = event.old_state, event.new_state
        if "speaking" in (old, new):
            self._turns.user_active_at = at
        self._send(partial(events.user_state, old, new, at))

    def agent_state_changed(self, event: Any, at: float) -> None:
        """The agent listens, thinks or speaks. A speech begins when its first audio goes out, and pauses for a false interruption."""
        turn, speaks = self._turns.speaking(), event.new_state == "speaking"
        begins = turn is not None and speaks and turn.started is None
        if turn is not None:
            turn.speaks(at) if speaks else turn.silent(at)
            if begins:
                self._turns.announce(turn)
        self._send(partial(events.agent_state, event.old_state, event.new_state, at, begins=begins))

    def user_input_transcribed(self, event: Any, at: float) -> None:
        """A transcript of the caller's speech."""
        text = event.transcript
        if text:
            self._turns.user_active_at = at
            language = read(event, "language")
            self._send(partial(events.transcription, text if self._texts else None, language, final=bool(event.is_final)))

    def conversation_item_added(self, event: Any, _: float) -> None:
        """The caller or the agent has said something, or another agent took over."""
        item, role = event.item, read(event.item, "role")
        text = str(read(item, "text_content") or "") if self._texts else ""
        if role == "user":
            self._turns.user_said(_report(item), text)
        elif role == "assistant":
            turn = self._turns.current()
            if turn is not None:
                turn.answered(_report(item))
                turn.note_text("agent_text", text)
        elif read(item, "type") == "agent_handoff" and read(item, "old_agent_id") is not None:  # the first agent takes over from none
            self._send(partial(events.handoff, read(item, "new_agent_id")))

    def speech_created(self, event: Any, at: float) -> None:
        """The agent is about to say something, or prepares what it may never say."""
        self._turns.created(Turn(event.speech_handle, read(event, "source"), at, user_initiated=bool(read(event, "user_initiated"))))

    def metrics_collected(self, event: Any, at: float) -> None:
        """Something was measured."""
        self._usage.collect(event.metrics)
        note = self._measured.get(event.metrics.type)
        if note is not None:
            note(event.metrics, at)

    def session_usage_updated(self, event: Any, _: float) -> None:
        """The session has added up what was used. It is sent with each turn."""
        self._usage.updated(event.usage)

    def function_tools_executed(self, event: Any, at: float) -> None:
        """Tools have run."""
        calls, outputs = tuple(event.function_calls), tuple(event.function_call_outputs)
        self._send(partial(events.tools_executed, calls, outputs, at, texts=self._texts))

    def agent_false_interruption(self, event: Any, at: float) -> None:
        """The agent stopped for an interruption that was none."""
        self._send(partial(events.false_interruption, at, resumed=bool(event.resumed)))

    def overlapping_speech(self, event: Any, _: float) -> None:
        """Overlapping speech was judged, unless the agent fell silent before."""
        if not read(event, "agent_ended"):
            self._send(partial(events.backchannel, event))

    def error(self, event: Any, _: float) -> None:
        """A component failed. It is tried again if the error is recoverable."""
        kind, recoverable = read(event, "error.type"), bool(read(event, "error.recoverable"))
        code = kind if isinstance(kind, str) else type(event.error).__name__
        self._send(partial(events.error, f"{code}_retried" if recoverable else code, event.error if self._texts else None))
        turn = self._turns.current()
        if turn is not None and not recoverable:
            turn.error_source = _STAGES.get(code, "other")

    def close(self, event: Any, at: float) -> None:
        """The session is over."""
        self._turns.close()
        failure = read(event, "error") if self._texts else None
        ended = partial(events.session_ended, read(event, "reason"), self.started_at or at, at, self._turns.count, failure)
        self._send(partial(events.in_order, self._usage.news(), ended))
        self.ended = True
        self._on_end()

    def _end_of_utterance(self, metrics: Any, at: float) -> None:
        self._turns.user_active_at = at
        turn = self._turns.of(read(metrics, "speech_id"))
        if turn is not None:
            self._turns.ended(turn, metrics)
        decided = at - (read(metrics, "on_user_turn_completed_delay") or 0.0)
        self._send(partial(events.turn_completed, metrics, decided, None if turn is None else turn.id))

    def _request(self, stage: Stage, metrics: Any, _: float) -> None:
        turn = self._turns.of(read(metrics, "speech_id"))
        if turn is not None:
            turn.measured(stage, metrics)

    def _realtime_response(self, metrics: Any, _: float) -> None:
        turn = self._turns.current()
        if turn is not None:
            turn.measured(requests.REALTIME, metrics)


def _report(item: Any) -> Any:
    """The report of a message, as it is now."""
    report = read(item, "metrics")
    return dict(report) if isinstance(report, dict) else report or {}
