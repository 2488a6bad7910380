"""The protobuf of a snapshot: its chunks, its constants, the layout of native buckets."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.synthetic import snapshot_of
from exporter.exporters.prometheus.exposition import CHUNK_SAMPLES, Renderer, sample_count
from exporter.exporters.prometheus.native_buckets import native_buckets, reduced
from exporter.exporters.prometheus.negotiation import Format
from exporter.exporters.prometheus.protobuf_exposition import CHUNK_BYTES, ProtobufRenderer
from exporter.metrics.snapshot import ExponentialPoint, Family, Series, Snapshot
from tests.support.prometheus_messages import MetricFamily, decoded, expected, native_counts
from tests.support.small_snapshot import ERRORS, SMALL, TURNS

NAMES = ["agentstack_user_perceived_latency_seconds", "agentstack_turns_total", "agentstack_sessions_active"]


def rendered(snapshot: Snapshot, renderer: ProtobufRenderer | None = None) -> bytes:
    return b"".join((renderer or ProtobufRenderer()).chunks(snapshot))


def histogram_of(fields: bytes) -> object:
    """A histogram message that has these fields."""
    metric = b"\x3a" + bytes([len(fields)]) + fields
    return MetricFamily.FromString(b"\x22" + bytes([len(metric)]) + metric).metric[0].histogram


def spans_of(point: ExponentialPoint) -> list[tuple[int, int]]:
    message = histogram_of(native_buckets(point))
    assert native_counts(message) == point
    return [(span.offset, span.length) for span in message.positive_span]  # type: ignore[attr-defined]


def test_families() -> None:
    """Families come with the names of the scrape, and one without series is left out."""
    families = decoded(rendered(SMALL))
    assert [family.name for family in families] == NAMES
    assert families == expected(SMALL)
    assert rendered(Snapshot(0.0, (Family(ERRORS, ()),))) == b""


def test_labels_are_those_of_the_text() -> None:
    """Names with dots are translated and labels without a value left out, as in the text: else Prometheus refuses all."""
    spec = replace(TURNS, otel_name="gen_ai.agent.turns", labels=("gen_ai.agent.name", "error.type"))
    snapshot = Snapshot(0.0, (Family(spec, (Series(("support", ""), 1.0, 0.0), Series(("support", "timeout"), 2.0, 0.0))),))
    [family] = decoded(rendered(snapshot))
    [text] = text_string_to_metric_families(b"".join(Renderer().chunks(snapshot, Format.TEXT_0_0_4)).decode())
    labels = [{pair.name: pair.value for pair in metric.label} for metric in family.metric]
    assert labels == [sample.labels for sample in text.samples]
    assert labels == [{"gen_ai_agent_name": "support"}, {"gen_ai_agent_name": "support", "error_type": "timeout"}]


def test_start_timestamps() -> None:
    """Counters and histograms say when they began, gauges do not; after the clock was set back it is the moment of the scrape."""
    latency, turns, active = decoded(rendered(SMALL))
    assert latency.metric[0].histogram.start_timestamp.ToMilliseconds() == 1_767_225_000_000
    assert [metric.counter.start_timestamp.ToMilliseconds() for metric in turns.metric] == [1_767_225_000_000] * 2
    assert active.metric[0].HasField("gauge")
    [_, turns, _] = decoded(rendered(replace(SMALL, at=1_700_000_000.5)))
    assert turns.metric[0].counter.start_timestamp.ToMilliseconds() == 1_700_000_000_500


def test_a_series_that_began_again() -> None:
    """A series that was dropped and came back has its new start, although its labels were rendered before."""
    renderer = ProtobufRenderer()
    rendered(SMALL, renderer)
    again = Snapshot(SMALL.at, (Family(TURNS, (Series(("a\\1",), 1.0, 1_767_225_600.25),)),))
    [family] = decoded(rendered(again, renderer))
    assert family.metric[0].counter.start_timestamp.ToMilliseconds() == 1_767_225_600_250
    assert renderer.cached_series == 1


def test_lone_surrogate() -> None:
    """A lone surrogate, which UTF-8 cannot hold, is replaced and breaks neither its series nor the scrape."""
    [family] = decoded(rendered(Snapshot(0.0, (Family(TURNS, (Series(("a\ud800b",), 1.0, 0.0),)),))))
    assert family.metric[0].label[0].value == "a?b"


def test_chunks_are_small() -> None:
    """A large family is written in slices and handed out in pieces, so that neither holds the event loop for long."""
    large = snapshot_of(20_000)
    one = Family(large.families[0].spec, tuple(replace(each, labels=(str(n), "", "")) for n, each in enumerate(_series(large))))
    chunks = list(ProtobufRenderer().chunks(Snapshot(large.at, (one,))))
    assert len(chunks) > sample_count(Snapshot(large.at, (one,))) / CHUNK_SAMPLES
    assert max(map(len, chunks)) < 2 * CHUNK_BYTES
    assert decoded(b"".join(chunks)) == expected(Snapshot(large.at, (one,)))


def _series(snapshot: Snapshot) -> list[Series]:
    return [series for family in snapshot.families if family.spec.bounds for series in family.series]


@pytest.mark.parametrize(
    ("counts", "spans"),
    [
        ({}, []),
        ({-1: 1}, [(0, 1)]),
        ({4: 1, 5: 7, 6: 7}, [(5, 3)]),
        ({-3: 2, 0: 1}, [(-2, 4)]),
        ({-3: 2, 1: 1}, [(-2, 1), (3, 1)]),
        ({-640: 1, 0: 2**40, 2: 1, 300: 3}, [(-639, 1), (639, 3), (297, 1)]),
    ],
)
def test_spans(counts: dict[int, int], spans: list[tuple[int, int]]) -> None:
    """Neighbours share a span, up to two empty buckets are written rather than left out, and indices are Prometheus' own."""
    assert spans_of(ExponentialPoint(5, 2.0**-10, 3, counts)) == spans


def test_the_resolution_is_reduced_above_the_limit_only() -> None:
    """As many populated buckets as allowed stay as they are, however far apart; one more halves the resolution."""
    counts = {index * 40: 1 for index in range(320)}
    assert reduced(counts, 5, 320) == (5, counts)
    assert reduced({**counts, 1: 1}, 5, 320)[0] == 4
