"""LiveKit's small events → ours. It is done in the tap's thread: what is passed here does not change any more."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from agentstack_tap.livekit import mapping
from agentstack_tap.livekit.mapping import converted, read, rfc3339

Events = list[dict[str, Any]]
MadeLater = Callable[[], Iterable[dict[str, Any]]]
"""Makes events. It is called later, in the tap's thread."""
Send = Callable[[MadeLater], None]


def in_order(first: MadeLater, then: MadeLater) -> Iterator[dict[str, Any]]:
    """The events of both."""
    yield from first()
    yield from then()


def user_state(old: str, new: str, at: float) -> Events:
    """The caller speaks, listens or is away."""
    found = [_state("user", old, new, at)]
    if "speaking" in (old, new):
        found.append({"type": "user.speech_started" if new == "speaking" else "user.speech_stopped", "timestamp": rfc3339(at)})
    return found


def agent_state(old: str, new: str, at: float, *, begins: bool) -> Events:
    """The agent listens, thinks or speaks. ``begins``: a speech begins with it."""
    found = [_state("agent", old, new, at)]
    if begins:
        found.append({"type": "agent.speech_started", "timestamp": rfc3339(at)})
    return found


def transcription(text: str | None, language: Any, *, final: bool) -> Events:
    """A transcript of the caller's speech."""
    found: dict[str, Any] = {"type": "user.transcription", "is_final": final}
    if language:
        found["language"] = str(language)
    if text is not None:
        found["text"] = text
    return [found]


def turn_completed(metrics: Any, at: float, turn: str | None) -> Events:
    """``EOUMetrics``: it was decided that the caller's turn is over, which ``turn`` answers."""
    found = {"type": "user.turn_completed", "timestamp": rfc3339(at), **method_of(metrics)}
    return [found if turn is None else {**found, "turn_id": turn}]


def speech_created(source: str | None, at: float, *, user_initiated: bool) -> Events:
    """The agent is about to say something."""
    found = {"type": "agent.speech_created", "user_initiated": user_initiated, "timestamp": rfc3339(at)}
    return [found | {"source": source} if source else found]


def speech_over(at: float, position: float, *, interrupted: bool) -> Events:
    """The agent has said something, or was interrupted."""
    name = "agent.speech_interrupted" if interrupted else "agent.speech_completed"
    return [{"type": name, "playback_position_s": position, "timestamp": rfc3339(at)}]


def tools_executed(calls: Iterable[Any], outputs: Iterable[Any], at: float, *, texts: bool) -> Events:
    """Tools have run."""
    by_call = {read(output, "call_id"): output for output in outputs}
    made = [_tool(call, by_call.get(call.call_id), texts=texts) for call in calls]
    return [{"type": "tool.executed", "timestamp": rfc3339(at), "calls": made}]


def handoff(agent: Any) -> Events:
    """Another agent took over."""
    return [{"type": "agent.handoff", "new_agent": str(agent or "")}]


def false_interruption(at: float, *, resumed: bool) -> Events:
    """The agent stopped for an interruption that was none."""
    return [{"type": "agent.false_interruption", "resumed": resumed, "timestamp": rfc3339(at)}]


def backchannel(event: Any) -> Events:
    """Overlapping speech was judged."""
    return [{"type": "user.backchannel", **converted(event, mapping.OVERLAP)}]


def error(code: str, failure: Any) -> Events:
    """A component failed. ``failure`` is ``None`` if its message stays here."""
    found = {"type": "session.error", "code": code}
    return [found if failure is None else {**found, "message": message(failure)}]


def session_ended(reason: Any, began: float, ended: float, turns: int, failure: Any) -> Events:
    """The session is over. ``failure`` is ``None`` if there is none, or if its message stays here."""
    found = {
        "type": "session.ended",
        "reason": str(read(reason, "value") or reason or "unknown"),
        "turn_count": turns,
        "started_at": rfc3339(began),
        "ended_at": rfc3339(ended),
        "duration_seconds": round(max(0.0, ended - began), 3),
    }
    return [found if failure is None else {**found, "error": message(failure)}]


def message(failure: Any) -> str:
    """What an error says."""
    return str(read(failure, "error") or failure)


def method_of(metrics: Any) -> dict[str, str]:
    """How the end of the turn was found: the model of the turn detector, else ``vad``, ``stt``, ``manual`` or the like."""
    for name in (read(metrics, "metadata.model_name"), read(metrics, "metadata.model_provider")):
        if isinstance(name, str) and name not in ("", "unknown"):
            return {"turn_method": name}
    return {}


def _state(who: str, old: str, new: str, at: float) -> dict[str, Any]:
    found = {"type": f"{who}.state_changed", "new_state": new, "timestamp": rfc3339(at)}
    return found if old == "initializing" else {**found, "old_state": old}


def _tool(call: Any, output: Any, *, texts: bool) -> dict[str, Any]:
    found = {"name": call.name, "call_id": call.call_id, "is_error": bool(read(output, "is_error"))}
    return found | ({"arguments": call.arguments, "output": read(output, "output")} if texts else {})
