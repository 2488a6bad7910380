"""The observer that Pipecat calls. Nothing raised here reaches the pipeline."""

import asyncio
import inspect
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from uuid import uuid4

from pipecat.observers.base_observer import BaseObserver

from agentstack_tap.client import Tap
from agentstack_tap.pipecat.contributions import contributions
from agentstack_tap.pipecat.conversation import Conversation
from agentstack_tap.pipecat.frames import Frames, Handler
from agentstack_tap.pipecat.outbox import MadeLater
from agentstack_tap.pipecat.turns import Timer

log: Final = logging.getLogger("agentstack_tap")
_ONCE: Final[dict[str, Any]] = (
    {"observe_every_push": False} if "observe_every_push" in inspect.signature(BaseObserver.__init__).parameters else {}
)
"""Asks for each frame once, where Pipecat can do that; older versions show it at every processor that passes it on."""
_LONGEST_DELAY: Final = 60.0
"""Seconds by which an observer may hear late of a frame; more comes from a wrong clock."""


class TapObserver(BaseObserver):  # type: ignore[misc]  # Pipecat is not installed where types are checked
    """Sends what happens in one pipeline to the exporter, as one session.

    ``session`` names it, else it gets a name. ``agent`` is the label of its metrics. With ``texts`` it also sends what is said, the
    arguments and results of functions, and the messages of errors. The end of the pipeline ends the session, and calls ``on_end``.
    """

    def __init__(
        self,
        tap: Tap,
        *,
        session: str | None = None,
        agent: str | None = None,
        texts: bool = False,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(**_ONCE)
        self._tap, self._session, self._on_end = tap, session or str(uuid4()), on_end
        self._conversation = Conversation(self._session, agent, self._send, self._later, texts=texts)
        self._frames = Frames(self._conversation)
        self._handlers: dict[type, Handler | None] = {}
        self._ended = self._failed = False

    @property
    def session(self) -> str:
        """The name of the session."""
        return self._session

    async def on_push_frame(self, data: Any) -> None:
        """A processor passes a frame on."""
        kind = type(data.frame)
        if kind not in self._handlers:
            self._handlers[kind] = self._frames.handler_of(kind)
        handler = self._handlers[kind]
        if handler is not None and not self._ended:
            self.take(handler, data)

    def take(self, handler: Handler, data: Any) -> None:
        """Let the handler of a frame read it."""
        try:
            handler(data, _moment(data))
        except Exception as error:  # noqa: BLE001 - the pipeline must not notice
            self._note_failure(error)

    async def on_latency_breakdown(self, _: Any, breakdown: Any) -> None:
        """Pipecat has taken the caller's wait apart. Waits for a greeting begin elsewhere, and nobody has said anything before."""
        if not self._ended and getattr(breakdown, "measured_from", None) == "user_silence":
            self._take_apart(breakdown)

    async def cleanup(self) -> None:
        """The pipeline has ended, or the observer was removed from it."""
        if not self._ended:
            self._ended = True
            self._finish()
        await super().cleanup()

    def _take_apart(self, breakdown: Any) -> None:
        try:
            self._conversation.waited(partial(contributions, tuple(breakdown.contributions)))
        except Exception as error:  # noqa: BLE001 - as above
            self._note_failure(error)

    def _finish(self) -> None:
        try:
            self._conversation.finish(time.time())
            self._tap.end(self._session)
            self._on_end()
        except Exception as error:  # noqa: BLE001 - as above
            self._note_failure(error)

    def _send(self, make: MadeLater) -> None:
        self._tap.send_made(self._session, make)

    def _later(self, seconds: float, call: Callable[[float], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, self._call_now, call)

    def _call_now(self, call: Callable[[float], None]) -> None:
        if not self._ended:
            try:
                call(time.time())
            except Exception as error:  # noqa: BLE001 - as above
                self._note_failure(error)

    def _note_failure(self, error: Exception) -> None:
        """Log the first failure of a session. Nothing else can be done about it here."""
        if not self._failed:
            self._failed = True
            log.warning("the Pipecat tap failed; what it was told then is lost, the pipeline goes on", exc_info=error)


def _moment(data: Any) -> float:
    """When the frame was passed on, in unix seconds: observers hear of it a little later."""
    now = time.time()
    late = (data.source.get_clock().get_time() - data.timestamp) / 1e9
    return now - late if 0 <= late < _LONGEST_DELAY else now
