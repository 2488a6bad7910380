"""What callers and agents say stays inside, wherever the exporter writes anything, unless it is asked to tell."""

import itertools
import signal
from pathlib import Path
from typing import Any

from tests.support.daemon import call, daemon_process, send_all
from tests.support.otlp_daemon import address_of, environment
from tests.support.otlp_receiver import otlp_receiver
from tests.support.waiting import eventually

CANARY = "canary7d1f"
_numbers = itertools.count()


def canary() -> str:
    """A text that is nowhere else."""
    return f"{CANARY}-{next(_numbers)}-"


def personal_call() -> list[dict[str, Any]]:
    """A call in which every personal field of the protocol says something of its own."""
    return [
        {"type": "session.started", "agent_session_id": "as-1", "agent_id": "a", "caller": canary(), "callee": canary()},
        {"type": "user.transcription", "text": canary(), "speaker_id": canary(), "is_final": True},
        {"type": "user.backchannel", "speech_input_b64": canary()},
        {"type": "agent.speech_completed", "transcript": canary()},
        {"type": "agent.speech_interrupted", "interrupted_text": canary()},
        {"type": "tool.called", "tool_name": "t", "arguments": {"to": canary()}},
        {"type": "tool.executed", "calls": [{"name": "t", "arguments": canary(), "output": canary()}]},
        {"type": "agent_tool.completed", "agent_tool_id": "1", "result": {"said": canary()}},
        {"type": "agent_tool.failed", "agent_tool_id": "2", "error": canary()},
        {"type": "user.dtmf", "digit": canary()},
        {"type": "dtmf.sent", "digits": canary()},
        {"event": "dtmf", "streamId": "s", "dtmf": {"digit": canary()}},
        {"type": "participant.added", "target": canary()},
        {"type": "call.transferred", "destination": [canary()]},
        {"type": "voicemail.detected", "result": "human", "transcript": canary()},
        {"type": "session.error", "code": "x", "message": canary()},
        {"type": "turn.metrics", "turn_number": 1, "user_text": canary(), "agent_text": canary()},
        {"type": "session.ended", "reason": "hangup", "error": canary(), "transcript": [{"text": canary()}]},
    ]


def personal_stand_in() -> list[dict[str, Any]]:
    """A turn without metrics, and frames of which something is wrong."""
    return [
        {"type": "session.started", "agent_session_id": "as-2"},
        {"type": "turn.completed", "turn_number": 2, "user_text": canary(), "agent_text": canary()},
        {"type": "turn.metrics", "turn_number": 3, "user_text": canary(), "llm_ttft_ms": canary()},
        {"type": "no.such.event", "text": canary()},
        {"type": "user.transcription", "text": canary(), "no_such_field": canary()},
        {"type": "tool.called", "tool_name": {"a": canary()}, "arguments": canary()},
        {"type": "session.error", "message": {"a": canary()}},
    ]


async def _everything_written(folder: Path, frames: list[dict[str, Any]], **more: str) -> dict[str, bytes]:
    """Play the call, with a collector that is away at first; all that left the process, by the way it went."""
    queue = folder / "queue"
    async with otlp_receiver("http/protobuf") as site:
        await site.listener.shut()
        variables = environment(address_of(site), "http/protobuf", **more)
        options = ("--log-level", "debug", "--otlp-queue-dir", str(queue), "--session-linger", "0", "--drain-timeout", "0.2")
        async with daemon_process(folder, *options, env=variables) as daemon:
            async with call(daemon.endpoints.ws) as socket:
                await send_all(socket, frames)
                await socket.send('{"type":"turn.metrics","user_text":"' + CANARY + "-broken-", text=True)
                await daemon.endpoints.reaches("agentstack_exporter_frames_received_total", len(frames) + 1)
            await eventually(lambda: any(file.stat().st_size for file in queue.iterdir()), because="the queue's files")
            found = {"disk": b"".join(file.read_bytes() for file in queue.iterdir())}
            for path in ("/metrics", "/"):
                found[path] = (await daemon.endpoints.get(path)).content
            await site.listener.open()
            await eventually(lambda: site.receiver.requests, within=10)
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended() == 0
            found["stderr"], found["stdout"] = daemon.log.encode(), daemon.output.encode()
        for wanted in ("traces", "metrics"):
            messages = [each.message for each in site.receiver.requests if each.signal == wanted]
            assert messages
            found[wanted] = b"".join(message.SerializeToString() for message in messages)
    return found


async def test_nothing_personal_leaves(tmp_path: Path) -> None:
    """As shipped, no personal field is in any metric, span, log line, page or file, whether its frame was sound or not."""
    found = await _everything_written(tmp_path, personal_stand_in() + personal_call())
    assert all(found[way] for way in ("disk", "/metrics", "/", "stderr", "traces", "metrics"))
    assert [way for way, written in found.items() if CANARY.encode() in written] == []


async def test_what_is_asked_for_is_told_in_spans_alone(tmp_path: Path) -> None:
    """With content captured every personal field of a sound call is in the spans, and still nowhere else."""
    frames = personal_call()
    wanted = {piece for frame in frames for piece in str(frame).split("'") if piece.startswith(CANARY)}
    found = await _everything_written(tmp_path, frames, OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="SPAN_ONLY")
    assert {text for text in wanted if text.encode() not in found["traces"]} == set()
    assert [way for way, written in found.items() if CANARY.encode() in written] == ["disk", "traces"]
