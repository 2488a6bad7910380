"""The events of a turn, in the usual order and each at its moment."""

from exporter.simulate import faults
from exporter.simulate.moments import Event, Timed
from exporter.simulate.report import turn_completed, turn_metrics
from exporter.simulate.session import Session
from exporter.simulate.turns import Turn

_TOOLS = ("lookup_order", "book_slot", "crm.find", "send_confirmation")


def narrate(session: Session, turn: Turn) -> list[Timed]:
    """The events of the turn, sorted by time. Its reports come last; they may be late or missing."""
    live = [] if turn.agent_first else _caller_speaks(session, turn)
    live += _agent_prepares(session, turn)
    if turn.agent_started is not None and turn.agent_stopped is not None:
        live += _agent_speaks(session, turn, turn.agent_started, turn.agent_stopped)
    if turn.hung_up_at is not None:
        live = [(at, event) for at, event in live if at <= turn.hung_up_at]
    session.interruptions += turn.interrupted
    session.transcript += _lines(turn)
    return sorted(live + _reports(session, turn), key=lambda timed: timed[0])


def stamped(session: Session, at: int, kind: str, **fields: object) -> Timed:
    """An event that carries its own moment as ``timestamp``."""
    return at, {"type": kind, **fields, "timestamp": session.moments.rfc3339(at)}


def user_state(session: Session, at: int, old: str, new: str) -> Timed:
    """``user.state_changed``."""
    return stamped(session, at, "user.state_changed", old_state=old, new_state=new)


def agent_state(session: Session, at: int, old: str, new: str) -> Timed:
    """``agent.state_changed``."""
    return stamped(session, at, "agent.state_changed", old_state=old, new_state=new)


def _caller_speaks(session: Session, turn: Turn) -> list[Timed]:
    events: list[Timed] = []
    if not turn.typed:
        events += [user_state(session, turn.user_started, "listening", "speaking"), *_voice_activity(session, turn)]
        events += [user_state(session, turn.user_stopped, "speaking", "listening"), *_transcriptions(session, turn)]
    trigger = "text" if turn.typed else "max_duration" if turn.user_stopped - turn.user_started > 7000 else "silence"
    fields: Event = {"turn_id": turn.turn_id, "trigger": trigger, "duration_ms": turn.user_stopped - turn.user_started}
    if session.happens(0.3):
        del fields["trigger"]  # newer servers leave it out
    if not session.s2s:
        fields["turn_method"] = "eou_model"
        fields["turn_probability"] = round(session.rng.uniform(0.5, 1.0), 2)
    return [*events, stamped(session, turn.decided, "user.turn_completed", **fields)]


def _voice_activity(session: Session, turn: Turn) -> list[Timed]:
    inferences = (turn.user_stopped - turn.user_started) // 32
    fields = {"vad_idle_time_s": 1.1, "vad_inference_count": 8, "vad_inference_duration_total_ms": 12}
    started = stamped(session, turn.user_started, "user.speech_started", timestamp_ms=turn.user_started, **fields)
    fields = {"vad_idle_time_s": 0.0, "vad_inference_count": inferences, "vad_inference_duration_total_ms": inferences * 3 // 2}
    duration = turn.user_stopped - turn.user_started
    stopped = stamped(session, turn.user_stopped, "user.speech_stopped", timestamp_ms=turn.user_stopped, duration_ms=duration, **fields)
    return [started, stopped]


def _transcriptions(session: Session, turn: Turn) -> list[Timed]:
    words = turn.user_text.split()
    step = (turn.user_stopped - turn.user_started) // (len(words) // 4 + 1)
    events: list[Timed] = []
    for count in range(4, len(words), 4):
        text = " ".join(words[:count])
        partial = {"type": "user.transcription", "text": text, "is_final": False, "language": "en"}
        events.append((turn.user_started + step * (count // 4), partial))
    heard = turn.user_stopped + (session.rng.randint(150, 500) if session.s2s else turn.parts.stt_delay)
    final = {"type": "user.transcription", "text": turn.user_text, "is_final": True, "language": "en", "speaker_id": "spk-0"}
    return [*events, (heard, final)]


def _agent_prepares(session: Session, turn: Turn) -> list[Timed]:
    initiated = not turn.agent_first
    created = stamped(session, turn.asked, "agent.speech_created", source=turn.source, user_initiated=initiated)
    if turn.agent_first:
        return [created]
    events = [agent_state(session, turn.decided, "listening", "thinking"), created]
    if turn.tool and turn.agent_started is not None:
        events.append(_tool_call(session, turn))
    if turn.agent_started is None and turn.hung_up_at is None:
        if turn.error:
            code = f"{turn.error}_{session.rng.choice(('timeout', 'error'))}"
            failed = {"type": "session.error", "code": code, "message": "simulated: the provider did not answer"}
            events.append((turn.ended - 200, failed))
        events.append(agent_state(session, turn.ended - 100, "thinking", "listening"))
    return events


def _tool_call(session: Session, turn: Turn) -> Timed:
    rng, name = session.rng, session.rng.choice(_TOOLS)
    asked = turn.asked + turn.parts.llm_ttft + turn.parts.realtime_ttft
    call_id = f"tc-{turn.turn_id}"
    if turn.tool == "app":
        return asked, {"type": "tool.called", "id": call_id, "name": name, "arguments": {"order_id": "TEST-1"}}
    failed = rng.random() < 0.08
    output = "simulated failure" if failed else '{"ok":true}'
    calls = [{"name": name, "call_id": call_id, "arguments": '{"q":"TEST-1"}', "output": output, "is_error": failed}]
    if rng.random() < 0.2:
        calls.append({"name": "crm.note", "call_id": call_id + "b", "arguments": "{}", "output": "{}", "is_error": False})
    return stamped(session, asked + turn.parts.tool, "tool.executed", calls=calls)


def _agent_speaks(session: Session, turn: Turn, started: int, stopped: int) -> list[Timed]:
    before = "idle" if turn.source == "greeting" else "listening" if turn.agent_first else "thinking"
    events = [agent_state(session, started, before, "speaking"), stamped(session, started, "agent.speech_started")]
    events += [_overlap(session, started + 700 * count, is_interruption=False) for count in range(1, turn.backchannels + 1)]
    played = (stopped - started) / 1000
    if turn.interrupted:
        events += _barge_in(session, turn, stopped, played)
    else:
        said = {"playback_position_s": played, "transcript": turn.agent_text}
        events.append(stamped(session, stopped, "agent.speech_completed", **said))
    return [*events, agent_state(session, stopped + 1, "speaking", "listening")]


def _barge_in(session: Session, turn: Turn, at: int, played: float) -> list[Timed]:
    events = [_overlap(session, at - 1, is_interruption=True)] if session.happens(0.5) else []
    heard = turn.agent_text[: len(turn.agent_text) // 2]
    fields = {"interrupted_text": heard, "turn_id": turn.turn_id, "playback_position_s": played}
    events.append(stamped(session, at, "agent.speech_interrupted", **fields))
    if turn.resumed is not None:
        events.append(stamped(session, at + 900, "agent.false_interruption", resumed=turn.resumed))
    return events


def _overlap(session: Session, at: int, *, is_interruption: bool) -> Timed:
    rng = session.rng
    duration = round(rng.uniform(200, 600), 1)
    low, high = (0.7, 0.98) if is_interruption else (0.02, 0.35)
    probabilities = [round(rng.uniform(low, high), 2) for _ in range(3)]
    return stamped(
        session,
        at,
        "user.backchannel",
        is_interruption=is_interruption,
        probability=probabilities[-1],
        detection_delay_ms=round(rng.uniform(60, 220), 1),
        total_duration_ms=duration,
        prediction_duration_ms=round(rng.uniform(20, 70), 1),
        overlap_started_at=session.moments.rfc3339(at - round(duration)),
        num_requests=1,
        speech_input_b64="AAAA",
        probabilities=probabilities,
    )


def _reports(session: Session, turn: Turn) -> list[Timed]:
    """``turn.completed`` soon after the turn, then ``turn.metrics``, which may be late, lost or sent twice."""
    rng = session.rng
    metrics = turn_metrics(session, turn)
    completed_at = turn.ended + rng.randint(10, 60)
    reported_at = completed_at + rng.randint(5, 120)
    if session.happens(session.profile.chances.metrics_first):
        completed_at, reported_at = reported_at, completed_at
    events = []
    if turn.hung_up_at is None:
        turn.completed_at = completed_at
        events.append((completed_at, turn_completed(session, turn)))
    return events + faults.deliver_metrics(session, turn, reported_at, metrics)


def _lines(turn: Turn) -> list[dict[str, str]]:
    lines = (("user", turn.user_text), ("assistant", turn.agent_text))
    return [{"role": role, "text": text} for role, text in lines if text]
