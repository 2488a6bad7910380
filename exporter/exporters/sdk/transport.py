"""Passes requests to an exporter of the SDK, one after the other, in a thread of its own: most exporters block."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from exporter.exporters.otlp.sender.export_result import Delivered, ExportResult, PermanentFailure, RetryableFailure
from exporter.exporters.otlp.sender.file_thread import FileThread
from exporter.exporters.otlp.target import ITEM_NAMES, Signal

MAX_FAILURES: Final = 60
"""How often in a row a request may fail before it is dropped: five minutes.

An exporter cannot say that it will never take a request, so one that it refuses would block all later ones.
"""
_FAILURE: Final = "FAIL"
"""How the names of both result types begin for a failure. Whatever else an exporter returns is a success, as in the SDK."""
_FLUSH_TIMEOUT_MS: Final = 5_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SdkDestination:
    """An exporter as log lines name it."""

    signal: Signal
    name: str

    @property
    def address(self) -> str:
        """The name of the exporter."""
        return f"the exporter {self.name}"

    @property
    def item_name(self) -> str:
        """What the signal's requests hold."""
        return ITEM_NAMES[self.signal]


class SdkTransport:
    """A :class:`exporter.exporters.otlp.sender.Transport` to an exporter. ``decode`` makes what it takes from a request."""

    def __init__(self, target: SdkDestination, exporter: Any, decode: Callable[[bytes], object]) -> None:  # noqa: ANN401 - of two kinds
        self.target = target
        self._exporter = exporter
        self._decode = decode
        self._failures = 0
        self._thread = FileThread(f"otel-{target.name}-{target.signal}")

    async def send(self, body: bytes) -> ExportResult:
        """Make one attempt. It takes as long as the exporter does: a call in a thread cannot be ended."""
        try:
            result = await self._thread.submit(lambda: self._exporter.export(self._decode(body)))
        except Exception as error:  # noqa: BLE001 - the exporter is of another package
            return self._failed("exception", f"{type(error).__name__}: {error}")
        if str(getattr(result, "name", "")).startswith(_FAILURE):
            return self._failed("failure", "it returned FAILURE")
        self._failures = 0
        return Delivered()

    async def close(self) -> None:
        """Let the exporter flush and end."""
        await self._thread.submit(self._shut_down)

    def _failed(self, reason: str, detail: str) -> ExportResult:
        self._failures += 1
        if self._failures < MAX_FAILURES:
            return RetryableFailure(reason, detail)
        self._failures = 0
        return PermanentFailure(reason, f"{detail}, for the {MAX_FAILURES}th time")

    def _shut_down(self) -> None:
        try:
            self._exporter.force_flush(_FLUSH_TIMEOUT_MS)
            self._exporter.shutdown()
        except Exception:
            log.exception("%s failed to shut down", self.target.address)
