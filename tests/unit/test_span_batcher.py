"""Spans that are emitted shortly after one another are offered together: all of them, in order, and not too many."""

from collections.abc import Sequence
from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from exporter.daemon.span_batcher import MOST_BYTES, MOST_EMITTED, MOST_SPANS, SpanBatcher, joined
from exporter.exporters.otlp.sender.requests import join
from exporter.tracing.span_batch import SpanBatch
from tests.support.waiting import eventually

spans = st.lists(st.integers(0, 40_000).map(bytes) | st.integers(0, 50).map(bytes), min_size=1, max_size=9)


def as_batch(spans: Sequence[bytes]) -> SpanBatch:
    return SpanBatch(join(spans), len(spans))


@given(st.lists(spans | spans.map(as_batch), max_size=30))
def test_joined(emitted: list[Sequence[bytes]]) -> None:
    """All spans are there in their order, in batches within the limits that could not hold the next turn's spans as well."""
    batches = list(joined(emitted))
    assert list(chain.from_iterable(batches)) == list(chain.from_iterable(emitted))
    turns = {(len(turn), len(join(turn))) for turn in emitted}
    for batch in batches:
        assert (batch.items <= MOST_SPANS and len(batch.body) <= MOST_BYTES) or (batch.items, len(batch.body)) in turns
    for one, other in pairwise(batches):
        assert one.items + other.items > MOST_SPANS or len(one.body) + len(other.body) > MOST_BYTES


class Offered(list[list[bytes]]):
    """What was offered."""

    def offer(self, spans: Sequence[bytes]) -> None:
        self.append(list(spans))


async def test_a_single_turn() -> None:
    """A turn's spans are offered a moment later, although nothing else is emitted."""
    offered = Offered()
    SpanBatcher(offered.offer).emit([b"one", b"two"])
    assert offered == []
    await eventually(lambda: offered == [[b"one", b"two"]])


async def test_many_at_once() -> None:
    """After many turns their spans are offered at once, and the next ones later."""
    offered = Offered()
    batcher = SpanBatcher(offered.offer)
    for number in range(MOST_EMITTED + 1):
        batcher.emit([b"%d" % number])
    assert offered == [[b"%d" % number for number in range(MOST_EMITTED)]]
    await eventually(lambda: offered[1:] == [[b"%d" % MOST_EMITTED]])


async def test_a_flush() -> None:
    """A flush offers what was emitted, once; without anything it offers nothing."""
    offered = Offered()
    batcher = SpanBatcher(offered.offer)
    batcher.emit(as_batch([b"one"]))
    batcher.flush()
    batcher.flush()
    assert offered == [[b"one"]]
