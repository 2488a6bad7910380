"""A snapshot as an ``ExportMetricsServiceRequest``, the metrics half of OTLP.

The bytes are written in slices of well under a millisecond; between two slices the event loop serves the calls. ``encode`` makes a
request, or several if one would be too long for a collector, and ``commit`` is called when all were delivered. Deltas are computed
against the last committed snapshot, so they match what the receiver really has.
Source: opentelemetry-proto, ``collector/metrics/v1/metrics_service.proto``.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
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
MAX_SIZE: Final = 4_000_000
"""Bytes of a request. Collectors reject requests over 4 MiB by default."""
_AROUND: Final = 1024
"""Bytes of names, units, tags and lengths around the data points of a metric, at most."""


@dataclass(frozen=True, slots=True)
class EncodedSnapshot:
    """A snapshot as ``requests``: the body of each in protobuf, and how many data points it holds."""

    requests: tuple[tuple[bytes, int], ...]
    snapshot: Snapshot

    @property
    def body(self) -> bytes:
        """All requests as one: a protobuf message is the concatenation of its parts."""
        return b"".join(body for body, _ in self.requests)

    @property
    def points(self) -> int:
        """How many data points the requests hold together."""
        return sum(points for _, points in self.requests)


class MetricsEncoder:
    """Encodes snapshots for one receiver.

    ``resource`` describes the sending process, see :func:`exporter.exporters.otlp.resource.resource_attributes`. Histograms that
    have exponential buckets are sent with these, unless ``exponential`` is off; others have explicit bounds. A request has at most
    ``max_size`` bytes, unless one data point takes more. Two snapshots may be encoded at the same time; commits come in the order of
    their snapshots.
    """

    def __init__(
        self,
        resource: Mapping[str, AttributeValue],
        temporality: Temporality = "cumulative",
        *,
        exponential: bool = True,
        version: str = __version__,
        slice_points: int = SLICE_POINTS,
        max_size: int = MAX_SIZE,
    ) -> None:
        self.max_size = max_size
        self.has_deltas = temporality != "cumulative"
        self._resource = delimited(1, encoded_resource(resource))
        self._scope = delimited(1, utf8(1, SCOPE) + utf8(2, version))
        self._temporality = temporality
        self._exponential = exponential
        self._slice_points = slice_points
        self._writers = _Writers()
        self._baseline = DeltaBaseline()

    def encode(self, snapshot: Snapshot) -> EncodedSnapshot:
        """The request for ``snapshot``; blocks the event loop until it is complete."""
        written = self._new_requests()
        for _ in self._slices(snapshot, written):
            pass
        return EncodedSnapshot(written.finished(), snapshot)

    async def encode_in_slices(self, snapshot: Snapshot) -> EncodedSnapshot:
        """The request for ``snapshot``; other tasks run between its slices."""
        written = self._new_requests()
        for _ in self._slices(snapshot, written):
            await asyncio.sleep(0)
        return EncodedSnapshot(written.finished(), snapshot)

    def commit(self, encoded: EncodedSnapshot) -> None:
        """``encoded`` was delivered: the next deltas are computed against its snapshot."""
        if self.has_deltas:
            self._baseline = DeltaBaseline(encoded.snapshot)

    def _slices(self, snapshot: Snapshot, written: "_Requests") -> Iterator[None]:
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
            written.add(points, writer, DELTA if delta else CUMULATIVE)
        self._writers = writers

    def _new_requests(self) -> "_Requests":
        return _Requests(self._resource, self._scope, self.max_size)


class _Requests:
    """The requests of a snapshot that are written so far."""

    def __init__(self, resource: bytes, scope: bytes, max_size: int) -> None:
        self._resource = resource
        self._scope = scope
        self._room = max(0, max_size - len(resource) - len(scope) - _AROUND)
        self._finished: list[tuple[bytes, int]] = []
        self._metrics: list[bytes] = []
        self._points = self._size = 0

    def add(self, points: Sequence[bytes], writer: FamilyWriter, temporality: int) -> None:
        """Add all data points of a metric, to several requests if they are too long for one. A metric without points is not sent."""
        for part in _parts(points, self._room):
            metric = writer.metric(part, temporality)
            if self._metrics and self._size + len(metric) > self._room:
                self._finish()
            self._metrics.append(metric)
            self._points += len(part)
            self._size += len(metric)

    def finished(self) -> tuple[tuple[bytes, int], ...]:
        """All requests; one without data points if there are none."""
        if self._metrics or not self._finished:
            self._finish()
        return tuple(self._finished)

    def _finish(self) -> None:
        scope_metrics = delimited_parts(2, [self._scope, *self._metrics])
        body = b"".join(delimited_parts(1, [self._resource, *scope_metrics]))
        self._finished.append((body, self._points))
        self._metrics, self._points, self._size = [], 0, 0


def _parts(points: Sequence[bytes], room: int) -> Iterator[Sequence[bytes]]:
    """The data points in parts of about ``room`` bytes at most; one at least is in each."""
    if sum(map(len, points)) <= room:
        if points:
            yield points
        return
    part, size = list[bytes](), 0
    for point in points:
        if part and size + len(point) > room:
            yield part
            part, size = [], 0
        part.append(point)
        size += len(point)
    yield part
