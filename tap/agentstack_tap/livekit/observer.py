"""What happens in one session → the events of one call. Every method runs in the session's event loop and only notes and sends."""

from collections.abc import Callable
from typing import Any, Final

from agentstack_tap.livekit import mapping
from agentstack_tap.livekit.mapping import converted, read, rfc3339
from agentstack_tap.livekit.turn import Turn, method_of
from agentstack_tap.livekit.turns import Turns
from agentstack_tap.livekit.usage import Usage

_STAGES: Final = {"llm_error": "llm", "stt_error": "stt", "tts_error": "tts", "realtime_model_error": "realtime"}
"""Kind of an error → the stage of the turn that failed."""

Send = Callable[[dict[str, Any]], None]


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
        self._turns = Turns(session, send, self._send_usage)
        self._started_at: float | None = None
        self.ended = False
        between = self._turns.between
        self._measured: dict[str, Callable[[Any, float], None]] = {
            "eou_metrics": self._end_of_utterance,
            "llm_metrics": self._llm_request,
            "tts_metrics": self._tts_request,
            "realtime_model_metrics": self._realtime_response,
            "stt_metrics": lambda metrics, _: between.stt(metrics),
            "vad_metrics": lambda metrics, _: between.vad(metrics),
            "interruption_metrics": lambda metrics, _: between.interruption(metrics),
        }

    def begin(self, at: float) -> None:
        """An event has come; with the first one the call begins."""
        if self._started_at is None:
            self._started_at = at
            self._send({"type": "session.started", **self._start})

    def user_state_changed(self, event: Any, at: float) -> None:
        """The caller speaks, listens or is away, as the session's voice activity detector has decided."""
        old, new = event.old_state, event.new_state
        self._state("user", old, new, at)
        if "speaking" in (old, new):
            self._turns.user_active_at = at
            self._send({"type": "user.speech_started" if new == "speaking" else "user.speech_stopped", "timestamp": rfc3339(at)})

    def agent_state_changed(self, event: Any, at: float) -> None:
        """The agent listens, thinks or speaks. A speech begins when its first audio goes out, and pauses for a false interruption."""
        turn, speaks = self._turns.speaking(), event.new_state == "speaking"
        begins = turn is not None and speaks and turn.started is None
        if turn is not None:
            turn.speaks(at) if speaks else turn.silent(at)
            if begins:
                self._turns.announce(turn)
        self._state("agent", event.old_state, event.new_state, at)
        if begins:
            self._send({"type": "agent.speech_started", "timestamp": rfc3339(at)})

    def user_input_transcribed(self, event: Any, at: float) -> None:
        """A transcript of the caller's speech."""
        if not event.transcript:
            return
        self._turns.user_active_at = at
        found = {"type": "user.transcription", "is_final": bool(event.is_final)}
        language = read(event, "language")
        if language:
            found["language"] = str(language)
        if self._texts:
            found["text"] = event.transcript
        self._send(found)

    def conversation_item_added(self, event: Any, _: float) -> None:
        """The caller or the agent has said something, or another agent took over."""
        item, role = event.item, read(event.item, "role")
        text = str(read(item, "text_content") or "") if self._texts else ""
        if role == "user":
            self._turns.user_said(read(item, "metrics") or {}, text)
        elif role == "assistant":
            turn = self._turns.current()
            if turn is not None:
                turn.answered(read(item, "metrics") or {})
                turn.note_text("agent_text", text)
        elif read(item, "type") == "agent_handoff" and read(item, "old_agent_id") is not None:  # the first agent takes over from none
            self._send({"type": "agent.handoff", "new_agent": str(read(item, "new_agent_id") or "")})

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
        outputs = {read(output, "call_id"): output for output in event.function_call_outputs}
        calls = [self._tool(call, outputs.get(call.call_id)) for call in event.function_calls]
        self._send({"type": "tool.executed", "timestamp": rfc3339(at), "calls": calls})

    def agent_false_interruption(self, event: Any, at: float) -> None:
        """The agent stopped for an interruption that was none."""
        self._send({"type": "agent.false_interruption", "resumed": bool(event.resumed), "timestamp": rfc3339(at)})

    def overlapping_speech(self, event: Any, _: float) -> None:
        """Overlapping speech was judged, unless the agent fell silent before."""
        if not read(event, "agent_ended"):
            self._send({"type": "user.backchannel", **converted(event, mapping.OVERLAP)})

    def error(self, event: Any, _: float) -> None:
        """A component failed. It is tried again if the error is recoverable."""
        kind, recoverable = read(event, "error.type"), bool(read(event, "error.recoverable"))
        code = kind if isinstance(kind, str) else type(event.error).__name__
        found = {"type": "session.error", "code": f"{code}_retried" if recoverable else code}
        self._send(found | ({"message": _message(event.error)} if self._texts else {}))
        turn = self._turns.current()
        if turn is not None and not recoverable:
            turn.error_source = _STAGES.get(code, "other")

    def close(self, event: Any, at: float) -> None:
        """The session is over."""
        self._turns.close()
        self._send_usage()
        began, reason = self._started_at or at, read(event, "reason")
        found = {"type": "session.ended", "reason": str(read(reason, "value") or reason or "unknown"), "turn_count": self._turns.count}
        found |= {"started_at": rfc3339(began), "ended_at": rfc3339(at), "duration_seconds": round(max(0.0, at - began), 3)}
        if self._texts and read(event, "error") is not None:
            found["error"] = _message(event.error)
        self._send(found)
        self.ended = True
        self._on_end()

    def _state(self, who: str, old: str, new: str, at: float) -> None:
        found = {"type": f"{who}.state_changed", "new_state": new, "timestamp": rfc3339(at)}
        self._send(found if old == "initializing" else {**found, "old_state": old})

    def _end_of_utterance(self, metrics: Any, at: float) -> None:
        self._turns.user_active_at = at
        decided = at - (read(metrics, "on_user_turn_completed_delay") or 0.0)
        found = {"type": "user.turn_completed", "timestamp": rfc3339(decided), **method_of(metrics)}
        turn = self._turns.of(read(metrics, "speech_id"))
        if turn is not None:
            self._turns.ended(turn, metrics)
            found["turn_id"] = turn.id
        self._send(found)

    def _llm_request(self, metrics: Any, _: float) -> None:
        turn = self._turns.of(read(metrics, "speech_id"))
        if turn is not None:
            turn.llm.over(metrics)

    def _tts_request(self, metrics: Any, _: float) -> None:
        turn = self._turns.of(read(metrics, "speech_id"))
        if turn is not None:
            turn.tts.over(metrics)

    def _realtime_response(self, metrics: Any, _: float) -> None:
        turn = self._turns.current()
        if turn is not None:
            turn.realtime.over(metrics)

    def _tool(self, call: Any, output: Any) -> dict[str, Any]:
        found = {"name": call.name, "call_id": call.call_id, "is_error": bool(read(output, "is_error"))}
        return found | ({"arguments": call.arguments, "output": read(output, "output")} if self._texts else {})

    def _send_usage(self) -> None:
        usage = self._usage.news()
        if usage is not None:
            self._send(usage)


def _message(error: Any) -> str:
    return str(read(error, "error") or error)
