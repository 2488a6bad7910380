"""How long the next request with spans may be, after one that failed."""

import pytest

from exporter.exporters.otlp.sender.batch_size import BatchConfig, BatchSize
from exporter.exporters.otlp.sender.export_result import Delivered, ExportResult, PermanentFailure, RetryableFailure
from exporter.exporters.otlp.sender.sending_queue import Batch

REFUSED = PermanentFailure("http_413", "", too_long=True)


def batch(entries: int, length: int, items: int | None = None) -> Batch:
    """A request of so many entries of the same length."""
    return Batch((bytes(length),) * entries, items or entries, entries * (length + 64), entries)


@pytest.mark.parametrize(
    ("result", "sent", "divided"),
    [
        (REFUSED, batch(10, 100_000), True),
        (REFUSED, batch(1, 100_000), False),
        (REFUSED, batch(200, 50), False),
        (PermanentFailure("http_400", ""), batch(10, 100_000), False),
        (PermanentFailure("http_400", ""), batch(10, 100, items=600), True),
        (RetryableFailure("timeout", ""), batch(10, 100_000), True),
        (RetryableFailure("grpc_deadline_exceeded", ""), batch(10, 100_000), True),
        (RetryableFailure("timeout", ""), batch(10, 10_000), False),
        (RetryableFailure("connection", ""), batch(10, 100_000), False),
        (Delivered(), batch(10, 100, items=600), False),
    ],
)
def test_what_is_divided(result: ExportResult, sent: Batch, divided: bool) -> None:
    """A request is divided if its length may be why it failed, or if it has grown; one entry never is."""
    assert BatchSize(BatchConfig(grows=True)).divides(result, sent) is divided


@pytest.mark.parametrize("result", [REFUSED, RetryableFailure("timeout", ""), RetryableFailure("grpc_deadline_exceeded", "")])
@pytest.mark.parametrize("length", [20, 3_000, 300_000])
def test_division_ends(result: ExportResult, length: int) -> None:
    """Each division makes the next request shorter, so that it comes to an end."""
    size, sent = BatchSize(BatchConfig()), batch(4_000_000 // length, length)
    for _ in range(20):
        if not size.divides(result, sent):
            break
        size.failed(result, sent)
        shorter = max(1, size.max_size // length)
        assert shorter < len(sent.bodies)
        sent = batch(shorter, length)
    assert not size.divides(result, sent)
