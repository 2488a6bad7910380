"""The buckets of a native histogram: runs of neighbours ("spans"), and what each bucket has more than the one before ("deltas").

Bucket ``i`` of Prometheus counts the values that bucket ``i - 1`` of OpenTelemetry counts: Prometheus numbers a bucket by its upper
edge, OpenTelemetry by its lower.
Source: Prometheus "Native histograms"; client_model ``io/prometheus/client/metrics.proto``.
"""

from collections.abc import Mapping
from struct import pack
from typing import Final

from exporter.catalogue.exponential import halved
from exporter.metrics.snapshot import ExponentialPoint
from exporter.protobuf import delimited, varint, zigzag

MOST_BUCKETS: Final = 320
"""Populated buckets of a native histogram, at most: those of ten octaves, and more than a series of any simulated fleet has."""
_LOWEST_SCHEMA: Final = -4
"""The coarsest resolution that Prometheus has: its buckets are 16 octaves wide."""
_LONGEST_GAP: Final = 2
"""Empty buckets that are written rather than left out: a new span takes more bytes than they do."""


def native_buckets(point: ExponentialPoint, most_buckets: int = MOST_BUCKETS) -> bytes:
    """The fields of ``Histogram`` that make it a native one, at a resolution at which at most ``most_buckets`` are populated."""
    scale, counts = reduced(point.counts, point.scale, most_buckets)
    head = b"\x28" + zigzag(scale) + pack("<Bd", 0x31, point.zero_threshold)  # schema = 5, zero_threshold = 6
    if point.zero_count:
        head += b"\x38" + varint(point.zero_count)  # zero_count = 7
    return head + _spans_and_deltas(counts)


def reduced(counts: Mapping[int, int], scale: int, most: int) -> tuple[int, Mapping[int, int]]:
    """Merge pairs of neighbouring buckets until at most ``most`` are populated, if that is possible; returns scale and counts.

    Buckets of a series are never emptied, so its scale never rises: that would look like a restart.
    """
    while len(counts) > most and scale > _LOWEST_SCHEMA:
        scale, counts = scale - 1, halved(counts)
    return scale, counts


def _spans_and_deltas(counts: Mapping[int, int]) -> bytes:
    spans: list[bytes] = []
    deltas: list[bytes] = []
    gap = length = before = 0
    expected = -1  # the first span's offset is its index, and OpenTelemetry's is smaller by one
    for index in sorted(counts):
        empty = index - expected
        if length and empty <= _LONGEST_GAP:
            deltas += _emptied(empty, before)
            before = before if not empty else 0
            length += empty
        else:
            if length:
                spans.append(_span(gap, length))
            gap, length = empty, 0
        count = counts[index]
        deltas.append(zigzag(count - before))
        before, length, expected = count, length + 1, index + 1
    if length:
        spans.append(_span(gap, length))
    return b"".join(spans) + (delimited(13, b"".join(deltas)) if deltas else b"")  # positive_delta = 13


def _emptied(number: int, before: int) -> list[bytes]:
    """The deltas of ``number`` empty buckets after one that has ``before``."""
    return [zigzag(-before), *[b"\x00"] * (number - 1)] if number else []


def _span(offset: int, length: int) -> bytes:
    return delimited(12, b"\x08" + zigzag(offset) + b"\x10" + varint(length))  # positive_span = 12: offset = 1, length = 2
