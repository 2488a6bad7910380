"""A process that sends spans through a disk queue. A test kills it.

Arguments: endpoint, directory, how many spans. It says ``stored`` when all of them are on disk or delivered, and then waits.
"""

import asyncio
import sys
from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.exporters.otlp.sender import BackoffConfig, BatchConfig, DiskQueueConfig, SpanEnvelope, SpanSender, create_transport
from exporter.exporters.otlp.target import Target
from tests.support.recording_observer import RecordingObserver
from tests.support.waiting import eventually

BATCH = 50


async def main(endpoint: str, directory: str, spans: int) -> None:
    """Offer the spans, named by their numbers."""
    sender = SpanSender(
        create_transport(Target("traces", "http/protobuf", endpoint)),
        SpanEnvelope(),
        RecordingObserver(),
        batch=BatchConfig(delay=0.01, max_items=BATCH),
        disk=DiskQueueConfig(Path(directory)),
        backoff=BackoffConfig(time_scale=0.01),
    )
    sender.start()
    for number in range(spans):
        assert sender.offer([Span(name=str(number)).SerializeToString()])
        if number % 100 == 0:
            await asyncio.sleep(0)
    await eventually(lambda: sender._queue._memory_items == 0)
    sys.stdout.write("stored\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
