"""The last scrape: with ``--linger`` a stopping exporter waits until the final metrics were scraped once."""

import asyncio
import logging
from time import perf_counter

log = logging.getLogger(__name__)


class FinalScrape:
    """Waits for a scrape that began after everything was counted. One that was in progress misses the end of the calls."""

    def __init__(self) -> None:
        self._done = asyncio.Event()
        self._waiting_since = 0.0

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - the timeout is logged, so it is not the caller's own
        """Wait for the scrape, at most ``timeout`` seconds."""
        self._waiting_since = perf_counter()
        self._done.clear()
        log.info("waiting for one more scrape", extra={"seconds": timeout})
        try:
            async with asyncio.timeout(timeout):
                await self._done.wait()
        except TimeoutError:
            log.warning("linger timeout: no scrape within %s s; the last measurements are lost", timeout)

    def scraped(self, began_at: float) -> None:
        """A scrape that began at ``began_at`` (``perf_counter`` time) has ended."""
        if began_at >= self._waiting_since:
            self._done.set()

    def skip(self) -> None:
        """Stop waiting."""
        self._done.set()
