"""A snapshot as protobuf for Prometheus: ``MetricFamily`` messages, each after its length.

Only this format carries native histograms and start timestamps. Histograms have their classic buckets, their native ones, or both.
A family's message begins with its length, so its series are written first, in slices, and are then handed out together.
Source: client_model ``io/prometheus/client/metrics.proto``; the field numbers are beside the tags.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from struct import Struct, pack
from typing import Final, Literal, NamedTuple

from exporter.catalogue.declarations import MetricSpec
from exporter.catalogue.names import Kind
from exporter.exporters.prometheus.exposition import CHUNK_SAMPLES, samples_each
from exporter.exporters.prometheus.native_buckets import MOST_BUCKETS, native_buckets
from exporter.metrics.snapshot import Exemplar, HistogramPoint, Series, Snapshot
from exporter.protobuf import delimited, utf8, varint

Histograms = Literal["both", "classic", "native"]
"""Which buckets a histogram has in protobuf."""

CHUNK_BYTES: Final = 65_536
"""Size above which a chunk is handed out."""

_MOST: Final = 2**64 - 1
_TYPE: Final[dict[Kind, bytes]] = {"counter": b"\x18\x00", "gauge": b"\x18\x01", "histogram": b"\x18\x04"}  # type = 3
_COUNTER = Struct("<BBBd")  # counter = 3 and its length, then value = 1
_GAUGE = Struct("<BBBd")  # gauge = 2 and its length, then value = 1
_EXEMPLAR_VALUE = Struct("<Bd")  # value = 2
_INFINITE = float("inf")


class _Constant(NamedTuple):
    """The part of a series that does not change: its labels, and its start timestamp as the field of each kind of message."""

    since: float
    labels: bytes
    start: bytes


_Constants = dict[tuple[str, ...], _Constant]


class ProtobufRenderer:
    """Renders snapshots. It keeps the constant part of each series of the last snapshot, and none of older snapshots.

    ``histograms`` chooses the buckets. A native histogram with more than ``most_buckets`` populated buckets is halved in resolution
    until it has no more. Two scrapes may be rendered at the same time.
    """

    def __init__(
        self, histograms: Histograms = "both", *, most_buckets: int = MOST_BUCKETS, chunk_samples: int = CHUNK_SAMPLES
    ) -> None:
        self._histograms: Histograms = histograms
        self._most_buckets = most_buckets
        self._chunk_samples = chunk_samples
        self._families: dict[MetricSpec, _FamilyWriter] = {}

    @property
    def cached_series(self) -> int:
        """Number of series whose constant part is kept."""
        return sum(len(writer.constants) for writer in self._families.values())

    def chunks(self, snapshot: Snapshot) -> Iterator[bytes]:
        """The snapshot in chunks. The caller may do other work between two chunks, some of which are empty.

        A family without series is left out, as Prometheus does. A lone surrogate, which UTF-8 cannot hold, becomes ``?``.
        """
        families: dict[MetricSpec, _FamilyWriter] = {}
        ready = _Ready()
        room = self._chunk_samples
        for family in snapshot.families:
            writer = families[family.spec] = self._families.get(family.spec) or self._writer(family.spec)
            constants = _Constants()
            slices: list[bytes] = []
            start = 0
            while start < len(family.series):
                batch = family.series[start : start + max(1, room // writer.samples_each)]
                slices.append(writer.metrics(batch, snapshot.at, constants))
                start += len(batch)
                room -= len(batch) * writer.samples_each
                if room < writer.samples_each:
                    yield ready.take()
                    room = self._chunk_samples
            writer.constants = constants
            for piece in writer.family(slices):
                if ready.add(piece):
                    yield ready.take()
        self._families = families
        yield ready.take()

    def _writer(self, spec: MetricSpec) -> "_FamilyWriter":
        return _FamilyWriter(spec, self._histograms, self._most_buckets)


class _Ready:
    """Pieces of finished families that wait to be handed out."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> bool:
        """Add a piece; returns whether there is enough for a chunk."""
        self._pieces.append(piece)
        self._size += len(piece)
        return self._size >= CHUNK_BYTES

    def take(self) -> bytes:
        """What waits, which then waits no longer."""
        taken = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        return taken


class _FamilyWriter:
    """Writes one family, and keeps the constant part of each series for the next scrape."""

    __slots__ = ("_bucket_ends", "_classic", "_head", "_most_buckets", "_native", "_spec", "constants", "samples_each")

    def __init__(self, spec: MetricSpec, histograms: Histograms, most_buckets: int) -> None:
        self._spec = spec
        self._classic, self._native = histograms != "native", histograms != "classic"
        self._most_buckets = most_buckets
        self._head = utf8(1, spec.name) + utf8(2, spec.help) + _TYPE[spec.kind]
        self._bucket_ends = tuple(pack("<Bd", 0x11, bound) for bound in (*spec.bounds, _INFINITE))  # upper_bound = 2
        self.samples_each = samples_each(spec)
        self.constants = _Constants()

    def family(self, slices: Sequence[bytes]) -> Iterator[bytes]:
        """The message with these slices of its series, in pieces, after its length."""
        if slices:
            head = self._head
            tail = utf8(5, self._spec.unit_suffix) if self._spec.unit_suffix else b""  # unit = 5
            yield varint(len(head) + sum(map(len, slices)) + len(tail)) + head
            yield from slices
            yield tail

    def metrics(self, batch: Sequence[Series], at: float, used: _Constants) -> bytes:
        """The ``metric`` fields of some series at ``at``. The constant part of each is added to ``used``."""
        cached, out = self.constants, []
        write = self._histogram if self._spec.bounds else self._counter if self._spec.kind == "counter" else _gauge
        for series in batch:
            constant = cached.get(series.labels)
            if constant is None or constant.since != min(series.since, at):
                constant = self._constant(series, at)
            used[series.labels] = constant
            out.append(delimited(4, constant.labels + write(series, constant)))
        return b"".join(out)

    def _constant(self, series: Series, at: float) -> _Constant:
        # When the system clock is set back, a series must still not start after the scrape.
        since = min(series.since, at)
        pairs = sorted(zip(self._spec.scraped_labels, series.labels, strict=True))
        labels = b"".join(delimited(1, utf8(1, name) + utf8(2, value)) for name, value in pairs if value)
        return _Constant(since, labels, delimited(15 if self._spec.bounds else 3, _timestamp(since)))

    def _counter(self, series: Series, constant: _Constant) -> bytes:
        return _COUNTER.pack(0x1A, 9 + len(constant.start), 0x09, series.value) + constant.start

    def _histogram(self, series: Series, constant: _Constant) -> bytes:
        point = series.value
        if not isinstance(point, HistogramPoint):
            raise TypeError(f"a histogram series has the value {point!r}")
        native = point.exponential if self._native else None
        classic = self._classic or native is None
        parts = [b"\x08", varint(min(point.count, _MOST)), pack("<Bd", 0x11, point.sum)]  # sample_count = 1, sample_sum = 2
        if classic:
            parts.append(self._buckets(point))
        if native is not None:
            parts.append(native_buckets(native, self._most_buckets))
        parts.append(constant.start)
        if not classic:
            parts += [delimited(16, _exemplar(exemplar)) for exemplar in point.exemplars if exemplar is not None]  # exemplars = 16
        return delimited(7, b"".join(parts))  # histogram = 7

    def _buckets(self, point: HistogramPoint) -> bytes:
        """The classic buckets. Prometheus takes their exemplars for the native histogram too."""
        out = []
        exemplars = point.exemplars or (None,) * len(self._bucket_ends)
        for count, end, exemplar in zip(accumulate(point.counts), self._bucket_ends, exemplars, strict=True):
            bucket = b"\x08" + varint(min(count, _MOST)) + end  # cumulative_count = 1
            if exemplar is not None:
                bucket += delimited(3, _exemplar(exemplar))
            out.append(delimited(3, bucket))  # bucket = 3
        return b"".join(out)


def _gauge(series: Series, _constant: _Constant) -> bytes:
    return _GAUGE.pack(0x12, 9, 0x09, series.value)


def _exemplar(exemplar: Exemplar) -> bytes:
    labels = (("span_id", exemplar.span_id), ("trace_id", exemplar.trace_id))
    pairs = b"".join(delimited(1, utf8(1, name) + utf8(2, value)) for name, value in labels)
    return pairs + _EXEMPLAR_VALUE.pack(0x11, exemplar.value) + delimited(3, _timestamp(exemplar.at))


def _timestamp(at: float) -> bytes:
    """A ``google.protobuf.Timestamp``; ``at`` is in unix seconds."""
    at = max(0.0, at)
    seconds = int(at)
    nanoseconds = min(999_999_999, round((at - seconds) * 1e9))  # of the fraction alone: a float holds no unix time in nanoseconds
    return b"\x08" + varint(seconds) + b"\x10" + varint(nanoseconds)  # seconds = 1, nanos = 2
