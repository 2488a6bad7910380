"""Delivers one request at a time, however long that takes: the retries, and what is told of them."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from exporter.exporters.otlp.sender.export_result import Answer, Delivered, Failed, Refused
from exporter.exporters.otlp.sender.observer import INTERNAL_ERROR, SenderCounts
from exporter.exporters.otlp.sender.requests import Request
from exporter.exporters.otlp.sender.transport import Transport

_JITTER: Final = 0.2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackoffConfig:
    """How long to pause between attempts, in seconds: ``first``, then twice as long each time up to ``cap``, give or take a fifth.

    ``unit`` is how long a second is; tests take a short one.
    """

    first: float = 0.5
    cap: float = 5.0
    unit: float = 1.0

    def pause(self, failures: int, retry_after: float | None, chance: float) -> float:
        """Seconds before the next attempt after so many failed ones; ``chance`` is a random number from 0 to 1.

        A receiver that says how long to wait is not disturbed earlier, and may ask for more than the cap.
        """
        grown = min(self.cap, self.first * 2.0 ** min(failures - 1, 30))
        jittered = min(self.cap, grown * (1.0 - _JITTER + 2.0 * _JITTER * chance))
        return (jittered if retry_after is None else max(jittered, retry_after)) * self.unit


PACE: Final = BackoffConfig()


class RetrySender:
    """Sends over one transport. The pause after a failure holds for whatever is sent next."""

    def __init__(self, transport: Transport, counts: SenderCounts, backoff: BackoffConfig, what: str) -> None:
        self._transport = transport
        self._counts = counts
        self._pace = backoff
        self._what = what
        self._failures = 0
        self._failing_since = 0.0
        self._not_before = 0.0
        self._hurried = asyncio.Event()

    async def deliver(self, request: Request, should_abandon: Callable[[], bool] = lambda: False) -> Delivered | Refused | None:
        """Send until the receiver has taken or refused the request; ``None`` if before that it has become ``should_abandon``.

        ``should_abandon`` is asked after each failure, and again once the pause is over.
        """
        while True:
            await self._wait()
            if self._failures and should_abandon():
                return None
            match await self._attempt(request.body):
                case Delivered() as answer:
                    self._delivered(request, answer)
                    return answer
                case Refused() as answer:
                    self._refused(request, answer)
                    return answer
                case Failed() as answer:
                    self._failed(answer)
                    if should_abandon():
                        return None

    def flush(self) -> None:
        """End the present pause, or else skip the next."""
        self._hurried.set()

    async def close(self) -> None:
        """Close the connection."""
        await self._transport.close()

    async def _attempt(self, body: bytes) -> Answer:
        try:
            return await self._transport.send(body)
        # A request that meets an error of ours must not hold up all others.
        except Exception as error:
            log.exception("sending %s met an error of the exporter", self._what)
            return Refused(INTERNAL_ERROR, type(error).__name__)

    async def _wait(self) -> None:
        left = self._not_before - time.monotonic()
        if left > 0.0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), left)
        self._hurried.clear()

    def _delivered(self, request: Request, answer: Delivered) -> None:
        self._counts.attempted("delivered", "")
        rejected = min(answer.rejected, request.items)
        self._counts.delivered(request.items - rejected)
        if rejected:
            self._counts.rejected(rejected)
            log.warning("the receiver rejected %d of %d %s: %s", rejected, request.items, self._what, answer.message)
        elif answer.message:
            log.warning("the receiver took the %s with a warning: %s", self._what, answer.message)
        if self._failures:
            after = time.monotonic() - self._failing_since
            log.info("%s are delivered again after %.1f s and %d failed attempts", self._what, after, self._failures)
        self._failures, self._not_before = 0, 0.0

    def _refused(self, request: Request, answer: Refused) -> None:
        self._counts.attempted("refused", answer.reason)
        self._counts.dropped(answer.reason, request.items)
        log.error("%d %s are lost, the receiver refuses them: %s", request.items, self._what, answer.detail)
        self._failures, self._not_before = 0, 0.0

    def _failed(self, answer: Failed) -> None:
        self._counts.attempted("failed", answer.reason)
        if not self._failures:
            self._failing_since = time.monotonic()
            log.warning("%s cannot be delivered now and are kept: %s", self._what, answer.detail)
        self._failures += 1
        pause = self._pace.pause(self._failures, answer.retry_after, random.random())  # noqa: S311 - spreads load, keeps no secret
        self._not_before = time.monotonic() + pause
