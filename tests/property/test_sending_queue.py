"""The sending queue in memory, against a list."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from exporter.exporters.otlp.sender.segment import QueueEntry
from exporter.exporters.otlp.sender.sending_queue import ENTRY_OVERHEAD, QueueLimits, SendingQueue
from tests.support.recording_observer import RecordingObserver

STEPS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 40), max_size=5) | st.just([9] * 150),
        st.integers(1, 12) | st.just(90),
        st.integers(0, 120) | st.just(9_000),
    ),
    max_size=8,
)


def of(size: int) -> QueueEntry:
    return QueueEntry(bytes(size), size % 4)


@given(steps=STEPS)
def test_a_batch_holds_the_oldest_entries(steps: list[tuple[list[int], int, int]]) -> None:
    """Each batch holds as many of the oldest entries as fit both limits, at least one, and only ack removes and counts them out."""
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[list[int], int, int]]) -> None:
    observer = RecordingObserver()
    queue, model, end = SendingQueue(QueueLimits(), observer), list[QueueEntry](), 0
    for sizes, max_items, max_size in steps:
        entries = [of(size) for size in sizes]
        assert [queue.enqueue(entry) for entry in entries] == [None] * len(entries)
        model += entries
        number = next((n for n in range(len(model), 1, -1) if _fits(model[:n], max_items, max_size)), min(len(model), 1))
        batch = await queue.dequeue(max_items, max_size)
        assert (batch is None) == (not model)
        assert queue.enqueue(of(7)) is None  # while the batch is in flight
        model.append(of(7))
        assert await queue.ack() == batch
        if batch is not None:
            taken, model, end = model[:number], model[number:], end + number
            assert batch == (tuple(entry.body for entry in taken), sum(entry.items for entry in taken), _size(taken), end)
        assert observer.queue == (queue.items, queue.size) == (sum(entry.items for entry in model), _size(model) if queue.items else 0)
    assert await queue.close(1.0) == sum(entry.items for entry in model)


def _fits(entries: list[QueueEntry], max_items: int, max_size: int) -> bool:
    return sum(entry.items for entry in entries) <= max_items and sum(len(entry.body) for entry in entries) <= max_size


def _size(entries: list[QueueEntry]) -> int:
    return sum(len(entry.body) + ENTRY_OVERHEAD for entry in entries)
