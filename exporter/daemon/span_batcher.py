"""Joins spans that are emitted shortly after one another: to queue those of several turns takes as long as to queue those of one."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from exporter.exporters.otlp.sender.batch_size import LEAST_ACCEPTED
from exporter.exporters.otlp.sender.requests import join
from exporter.tracing.span_batch import SpanBatch

DELAY: Final = 0.01
"""Seconds after which spans are offered at the latest."""
MOST_EMITTED: Final = 32
"""How often spans are emitted until they are offered at once: as many turns come in a millisecond under full load."""
MOST_SPANS: Final = 64
"""Spans that are joined at most. A request has 512 by default."""
MOST_BYTES: Final = LEAST_ACCEPTED
"""Their length at most, if they are more than a turn's: what is offered together cannot be sent in two requests."""


class SpanBatcher:
    """Passes on what is emitted to ``offer``, in the same order, for use on the event loop."""

    def __init__(self, offer: Callable[[Sequence[bytes]], None]) -> None:
        self._offer = offer
        self._emitted: list[Sequence[bytes]] = []
        self._timer: asyncio.TimerHandle | None = None

    def emit(self, spans: Sequence[bytes]) -> None:
        """Take the serialised spans of a turn or session."""
        emitted = self._emitted
        emitted.append(spans)
        if len(emitted) == 1:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self.flush)
        elif len(emitted) == MOST_EMITTED:
            self.flush()

    def flush(self) -> None:
        """Offer what was emitted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        emitted, self._emitted = self._emitted, []
        for batch in joined(emitted):
            self._offer(batch)


def joined(emitted: Iterable[Sequence[bytes]]) -> Iterator[SpanBatch]:
    """All spans in order, as few batches as the limits allow. Those of one turn stay together."""
    bodies: list[bytes] = []
    size = items = 0
    for spans in emitted:
        batch = spans if type(spans) is SpanBatch else SpanBatch(join(spans), len(spans))  # isinstance asks an abstract class
        if bodies and (size + len(batch.body) > MOST_BYTES or items + batch.items > MOST_SPANS):
            yield SpanBatch(b"".join(bodies), items)
            bodies, size, items = [], 0, 0
        bodies.append(batch.body)
        size += len(batch.body)
        items += batch.items
    if bodies:
        yield SpanBatch(b"".join(bodies), items)
