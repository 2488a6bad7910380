"""A snapshot as an ``ExportMetricsServiceRequest``, the metrics half of OTLP.

The bytes are written in slices of well under a millisecond; between two slices the event loop serves the calls. ``encode`` makes a
request, and ``commit`` is called when it was delivered. Deltas are computed against the last committed request, so they match what
the receiver really has.
Source: opentelemetry-proto, ``collector/metrics/v1/metrics_service.proto``.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from exporter import __version__
from exporter.catalogue.declarations import MetricSpec
from exporter.exporters.otlp.delta import DeltaBaseline, Temporality, is_delta
from exporter.exporters.otlp.points import CUMULATIVE, DELTA, Constants, FamilyWriter, Shape, nanoseconds, shape_of
from exporter.exporters.otlp.resource import encoded_resource
from exporter.metrics.snapshot import Snapshot
from exporter.protobuf import AttributeValue, delimited, delimited_parts, utf8

_Writers = dict[tuple[MetricSpec, Shape], FamilyWriter]

SCOPE: Final = "agentstack-exporter"
SLICE_POINTS: Final = 50
"""Data points in a slice: a few tenths of a millisecond of work."""


@dataclass(frozen=True, slots=True)
class EncodedSnapshot:
    """A snapshot as a request: its ``body`` in protobuf, and how many data ``points`` it holds."""

    body: bytes
    points: int
    snapshot: Snapshot


class MetricsEncoder:
    """Encodes snapshots for one receiver.

    ``resource`` describes the sending process, see :func:`exporter.exporters.otlp.resource.resource_attributes`. Histograms that
    have exponential buckets are sent with these, unless ``exponential`` is off; others have explicit bounds. Two snapshots may be
    encoded at the same time; commits come in the order of their snapshots.
    """

    def __init__(
        self,
        resource: Mapping[str, AttributeValue],
        temporality: Temporality = "cumulative",
        *,
        exponential: bool = True,
        version: str = __version__,
        slice_points: int = SLICE_POINTS,
    ) -> None:
        self._resource = delimited(1, encoded_resource(resource))
        self._scope = delimited(1, utf8(1, SCOPE) + utf8(2, version))
        self._temporality = temporality
        self._exponential = exponential
        self._slice_points = slice_points
        self._writers = _Writers()
        self._baseline = DeltaBaseline()

    def encode(self, snapshot: Snapshot) -> EncodedSnapshot:
        """The request for ``snapshot``; blocks the event loop until it is complete."""
        written = _Written()
        for _ in self._slices(snapshot, written):
            pass
        return self._request(snapshot, written)

    async def encode_in_slices(self, snapshot: Snapshot) -> EncodedSnapshot:
        """The request for ``snapshot``; other tasks run between its slices."""
        written = _Written()
        for _ in self._slices(snapshot, written):
            await asyncio.sleep(0)
        return self._request(snapshot, written)

    def commit(self, encoded: EncodedSnapshot) -> None:
        """``encoded`` was delivered: the next deltas are computed against its snapshot."""
        if self._temporality != "cumulative":
            self._baseline = DeltaBaseline(encoded.snapshot)

    def _slices(self, snapshot: Snapshot, written: "_Written") -> Iterator[None]:
        """Write the metrics; yields after each slice."""
        baseline, writers = self._baseline, _Writers()
        at, room = nanoseconds(snapshot.at), self._slice_points
        for family in snapshot.families:
            key = (family.spec, shape_of(family, exponential=self._exponential))
            writer = writers[key] = self._writers.get(key) or FamilyWriter(*key)
            delta = is_delta(family.spec, self._temporality)
            source = baseline.deltas(family, exponential=key[1] == "exponential") if delta else iter(family.series)
            constants, points = Constants(), list[bytes]()
            while batch := list(islice(source, room)):
                points += writer.points(batch, at, constants)
                room -= len(batch)
                if room <= 0:
                    yield
                    room = self._slice_points
            writer.constants = constants
            written.add(points, writer.metric(points, DELTA if delta else CUMULATIVE))
        self._writers = writers

    def _request(self, snapshot: Snapshot, written: "_Written") -> EncodedSnapshot:
        scope_metrics = delimited_parts(2, [self._scope, *written.metrics])
        body = b"".join(delimited_parts(1, [self._resource, *scope_metrics]))
        return EncodedSnapshot(body, written.points, snapshot)


class _Written:
    """The metrics of a request that are written so far."""

    __slots__ = ("metrics", "points")

    def __init__(self) -> None:
        self.metrics: list[bytes] = []
        self.points = 0

    def add(self, points: list[bytes], metric: bytes) -> None:
        """Add a complete metric. A metric without points is not sent."""
        if points:
            self.metrics.append(metric)
            self.points += len(points)
