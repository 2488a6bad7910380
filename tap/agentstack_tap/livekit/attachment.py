"""Attaches the tap to a session: what it listens to, as whom it reports, and what happens when the session is over."""

import asyncio
import contextlib
import importlib.metadata
import inspect
import ssl
import sys
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final
from uuid import uuid4

from agentstack_tap.client import Tap
from agentstack_tap.livekit.guarded import guarded
from agentstack_tap.livekit.mapping import read
from agentstack_tap.livekit.observer import SessionObserver
from agentstack_tap.shared import borrow, give_back

FRAMEWORK: Final = "livekit-agents"
EVENTS: Final = (
    "user_state_changed",
    "agent_state_changed",
    "user_input_transcribed",
    "conversation_item_added",
    "speech_created",
    "metrics_collected",
    "session_usage_updated",
    "function_tools_executed",
    "agent_false_interruption",
    "overlapping_speech",
    "error",
    "close",
)
"""What is listened to. A version that does not know an event never emits it."""
_ONE_EVENT: Final = inspect.Signature([inspect.Parameter("event", inspect.Parameter.POSITIONAL_ONLY)])
_LAST_WORD: Final = 2.0
"""Seconds that a job which shuts down gives the session to close, and again the last events to arrive."""


def attach(
    session: Any,
    url: str,
    *,
    agent: str | None = None,
    session_id: str | None = None,
    call_id: str | None = None,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    texts: bool = False,
) -> Tap:
    """Report the ``AgentSession`` to the exporter at ``url``. The session behaves as before.

    Call it before ``session.start``. ``agent`` is the label of the agent, by default the name of the job's agent. ``session_id``
    names the session, by default after the job; ``call_id`` the phone call, if there is one. ``token`` and ``tls`` are those of
    :class:`Tap`. With ``texts``, transcripts, arguments of tools and messages of errors are sent too.

    All sessions of a process that report to the same exporter share the tap that is returned. It disconnects by itself after the last.
    Raises ``ValueError`` as :class:`Tap` does, and ``TypeError`` if the session is none.
    """
    if not callable(getattr(session, "on", None)) or not callable(getattr(session, "off", None)):
        raise TypeError("attach takes an AgentSession of LiveKit Agents")
    job = _job()
    name = session_id or f"{read(job, 'job.id') or 'livekit'}-{uuid4().hex[:12]}"
    start = {"agent_session_id": name, "agent_id": agent or _text(read(job, "job.agent_name")), "call_id": call_id}
    tap = borrow(url, token=token, tls=tls, framework=FRAMEWORK, framework_version=_version())
    closed = _wait_at_shutdown(job, tap)
    heard: dict[str, Callable[..., None]] = {}

    def end() -> None:
        tap.end(name)
        for event, callback in heard.items():
            session.off(event, callback)
        give_back(tap)
        if closed is not None:
            closed.set()

    known = {field: value for field, value in start.items() if value}
    tap.open()  # not with the session's first event
    observer = SessionObserver(session, partial(tap.send_made, name), known, end, texts=texts)
    for event in EVENTS:
        heard[event] = _listener(observer, getattr(observer, event))
        _listen(session, event, heard[event])
    return tap


def _listener(observer: SessionObserver, method: Callable[[Any, float], None]) -> Callable[..., None]:
    def hear(event: Any) -> None:
        if not observer.ended:
            at = float(getattr(event, "created_at", 0.0) or time.time())
            if observer.started_at is None:
                observer.begin(at)
            method(event, at)

    listener = guarded(hear)
    # LiveKit looks at the signature with every event, and to find it out takes longer than all that is done here.
    listener.__signature__ = _ONE_EVENT  # type: ignore[attr-defined] # a function has none until it is set
    return listener


def _listen(session: Any, event: str, callback: Callable[..., None]) -> None:
    """Register a callback. ``metrics_collected`` is deprecated: the warning is meant for authors of apps, who cannot heed it here."""
    emitter: Any = next((base for base in type(session).__mro__ if base.__name__ == "EventEmitter"), None)
    if event == "metrics_collected" and emitter is not None:
        emitter.on(session, event, callback)
    else:
        session.on(event, callback)


@lru_cache(maxsize=1)
def _version() -> str | None:
    """The version of LiveKit Agents. To read it from the disk takes milliseconds."""
    try:
        return importlib.metadata.version(FRAMEWORK)
    except importlib.metadata.PackageNotFoundError:
        return None


def _job() -> Any:
    """The context of the job that runs here, or ``None`` outside of LiveKit's workers."""
    find = getattr(sys.modules.get("livekit.agents"), "get_job_context", None)
    try:
        return find() if find is not None else None
    except Exception:  # noqa: BLE001 - outside of a job it raises
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _wait_at_shutdown(job: Any, tap: Tap) -> asyncio.Event | None:
    """A job's process may end without running what is due at exit: deliver the last events before it does.

    Return what to set when the session is over.
    """
    register = getattr(job, "add_shutdown_callback", None)
    if register is None:
        return None
    closed = asyncio.Event()

    async def deliver() -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(closed.wait(), _LAST_WORD)
        await asyncio.to_thread(tap.flush, _LAST_WORD)

    register(deliver)
    return closed
