"""Delivers one request at a time, with as many retries as that takes, and reports every attempt."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from exporter.exporters.otlp.sender.export_result import Delivered, ExportResult, PermanentFailure, RetryableFailure
from exporter.exporters.otlp.sender.observer import INTERNAL_ERROR, SenderObserver
from exporter.exporters.otlp.sender.requests import ExportRequest
from exporter.exporters.otlp.sender.transport import Transport

_JITTER: Final = 0.2
MAX_INTERNAL_ERRORS: Final = 10
"""How often in a row a request may cause an internal error before it is dropped, so that it does not block all later ones."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BackoffConfig:
    """Pause between attempts, in seconds: ``initial``, then twice as long each time up to ``maximum``, give or take a fifth.

    All pauses are multiplied by ``time_scale``; tests use a small one.
    """

    initial: float = 0.5
    maximum: float = 5.0
    time_scale: float = 1.0

    def pause(self, failures: int, retry_after: float | None, chance: float) -> float:
        """Seconds to wait after ``failures`` failed attempts in a row; ``chance`` is a random number from 0 to 1.

        A receiver's ``retry_after`` is always respected, even beyond the maximum.
        """
        base = min(self.maximum, self.initial * 2.0 ** min(failures - 1, 30))
        jittered = min(self.maximum, base * (1.0 - _JITTER + 2.0 * _JITTER * chance))
        return (jittered if retry_after is None else max(jittered, retry_after)) * self.time_scale


DEFAULT_BACKOFF: Final = BackoffConfig()


class RetrySender:
    """Sends over one transport. The pause after a failure also delays the next request."""

    def __init__(self, transport: Transport, observer: SenderObserver, backoff: BackoffConfig) -> None:
        self._transport = transport
        self._observer = observer
        self._backoff = backoff
        self._signal = transport.target.signal
        self._address = transport.target.address
        self._item_name = transport.target.item_name
        self._failures = 0
        self._internal_errors = 0
        self._warned = False
        self._failing_since = 0.0
        self._next_attempt = 0.0
        self._flush = asyncio.Event()

    async def deliver(
        self,
        request: ExportRequest,
        should_abandon: Callable[[], bool] = lambda: False,
        is_divided: Callable[[ExportResult], bool] = lambda _: False,
    ) -> ExportResult | None:
        """Send until the request is delivered or has failed permanently; ``None`` if ``should_abandon`` ended the retries.

        ``should_abandon`` is called after each failure, and again when the pause is over. A failure for which ``is_divided`` is true
        is returned, and nothing is dropped for it: the caller sends the items again, in smaller requests.
        """
        while True:
            await self._wait()
            if self._failures and should_abandon():
                return None
            match await self._attempt(request):
                case Delivered() as result:
                    self._delivered(request, result)
                    return result
                case PermanentFailure() as result:
                    if is_divided(result):
                        self._refused_whole(request, result)
                    else:
                        self._failed_permanently(request, result)
                    return result
                case RetryableFailure() as result:
                    self._failed(result)
                    if is_divided(result):
                        return result
                    if should_abandon():
                        return None

    def flush(self) -> None:
        """End the current pause, or skip the next one."""
        self._flush.set()

    async def close(self) -> None:
        """Close the connection."""
        await self._transport.close()

    async def _attempt(self, request: ExportRequest) -> ExportResult:
        try:
            result = await self._transport.send(request.body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request is still in hand; it is logged and counted
            return self._internal_error(request, error)
        self._internal_errors = 0
        return result

    def _internal_error(self, request: ExportRequest, error: Exception) -> ExportResult:
        self._internal_errors += 1
        last = self._internal_errors >= MAX_INTERNAL_ERRORS
        log.error(
            "internal error; request with %d %s to %s failed, %s",
            request.items,
            self._item_name,
            self._address,
            f"dropped after {self._internal_errors} attempts" if last else "retrying",
            exc_info=error,
        )
        detail = f"internal error of the exporter: {type(error).__name__}"
        if not last:
            return RetryableFailure(INTERNAL_ERROR, detail)
        self._internal_errors = 0
        return PermanentFailure(INTERNAL_ERROR, detail)

    async def _wait(self) -> None:
        remaining = self._next_attempt - time.monotonic()
        if remaining > 0.0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(remaining):
                    await self._flush.wait()
        self._flush.clear()

    def _delivered(self, request: ExportRequest, result: Delivered) -> None:
        self._observer.attempted("delivered", "")
        rejected = min(result.rejected, request.items)
        self._observer.delivered(request.items - rejected)
        if result.not_otlp:
            self._foreign_answer(result)
        if rejected:
            self._observer.rejected(rejected)
            log.warning(
                "export of %s: %s rejected %d of %d %s: %s; they are dropped, not retried",
                self._signal,
                self._address,
                rejected,
                request.items,
                self._item_name,
                result.message,
            )
        elif result.message:
            log.warning("export of %s: %s accepted all with a warning: %s", self._signal, self._address, result.message)
        if self._failures:
            log.info(
                "export of %s to %s works again after %.1f s and %d failed attempts",
                self._signal,
                self._address,
                time.monotonic() - self._failing_since,
                self._failures,
            )
        self._failures, self._next_attempt = 0, 0.0

    def _foreign_answer(self, result: Delivered) -> None:
        self._observer.foreign_answer()
        if not self._warned:
            self._warned = True
            log.warning(
                "export of %s: %s accepted a request, but its answer is no OTLP response: %s; check that the address is a collector's",
                self._signal,
                self._address,
                result.not_otlp,
            )

    def _refused_whole(self, request: ExportRequest, result: PermanentFailure) -> None:
        self._observer.attempted("refused", result.reason)
        log.warning(
            "export of %s to %s failed: %s; its %d %s are sent again in smaller requests",
            self._signal,
            self._address,
            result.detail,
            request.items,
            self._item_name,
        )

    def _failed_permanently(self, request: ExportRequest, result: PermanentFailure) -> None:
        self._observer.attempted("refused", result.reason)
        self._observer.dropped(result.reason, request.items)
        log.error(
            "export of %s to %s failed: %s; %d %s dropped, not retried",
            self._signal,
            self._address,
            result.detail,
            request.items,
            self._item_name,
        )
        self._failures, self._next_attempt = 0, 0.0

    def _failed(self, result: RetryableFailure) -> None:
        self._observer.attempted("failed", result.reason)
        self._failures += 1
        pause = self._backoff.pause(self._failures, result.retry_after, random.random())  # noqa: S311 - spreads load, keeps no secret
        self._next_attempt = time.monotonic() + pause
        if self._failures == 1:
            self._failing_since = time.monotonic()
            log.warning(
                "export of %s to %s failed: %s; next attempt in %.1f s, retrying until it is delivered",
                self._signal,
                self._address,
                result.detail,
                pause,
            )
