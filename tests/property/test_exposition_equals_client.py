"""The exposition against that of prometheus_client, byte for byte, and through its parsers."""

import itertools
import math
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from exporter.exporters.prometheus.exposition import Renderer, go_float, sample_count
from exporter.exporters.prometheus.negotiation import TEXT_FORMATS, Format
from exporter.metrics.snapshot import Snapshot
from tests.support.reference_exposition import client_family, reference_text
from tests.support.snapshots import snapshots

# Each test looks at every format of what is drawn: to draw takes longer than to render.


def rendered(snapshot: Snapshot, into: Format) -> bytes:
    return b"".join(Renderer().chunks(snapshot, into))


def expected_samples(snapshot: Snapshot) -> Iterator[Sample]:
    for family in snapshot.families:
        yield from client_family(family).samples


def comparable(sample: Sample) -> tuple[object, ...]:
    value = "NaN" if math.isnan(sample.value) else float(sample.value)
    return (sample.name, sample.labels, value)


@given(snapshot=snapshots)
def test_equals_the_client_library(snapshot: Snapshot) -> None:
    """Any snapshot renders to the bytes that prometheus_client writes, whatever the escaping scheme."""
    for into, escaping in itertools.product(TEXT_FORMATS, ("underscores", "allow-utf-8")):
        assert rendered(snapshot, into) == reference_text(snapshot, into, escaping), (into, escaping)


@given(before=snapshots, snapshot=snapshots)
def test_equals_the_client_library_with_a_warm_cache(before: Snapshot, snapshot: Snapshot) -> None:
    """An earlier snapshot never shows in the text, and its templates are not kept."""
    for into in TEXT_FORMATS:
        renderer = Renderer(chunk_samples=7)
        for earlier in (before, snapshot, before):
            list(renderer.chunks(earlier, into))
        assert b"".join(renderer.chunks(snapshot, into)) == reference_text(snapshot, into), into
        assert renderer.cached_series == sum(len(family.series) for family in snapshot.families)


@given(first=snapshots, second=snapshots, turns=st.lists(st.booleans(), max_size=30))
def test_overlapping_renderings_are_independent(first: Snapshot, second: Snapshot, turns: list[bool]) -> None:
    """Two renderings of one renderer, interleaved in any way, each give the text of their own snapshot."""
    for into in TEXT_FORMATS:
        renderer = Renderer(chunk_samples=1)
        running = {True: renderer.chunks(first, into), False: renderer.chunks(second, into)}
        texts = {True: b"", False: b""}
        for turn in turns:
            texts[turn] += next(running[turn], b"")
        for which, rest in running.items():
            texts[which] += b"".join(rest)
        assert texts == {True: reference_text(first, into), False: reference_text(second, into)}, into


@given(snapshot=snapshots)
def test_openmetrics_parses_to_what_was_rendered(snapshot: Snapshot) -> None:
    """The client library's strict OpenMetrics parser reads back every sample, label value and exemplar."""
    text = rendered(snapshot, Format.OPENMETRICS_1_0_0).decode()
    parsed = list(parse_openmetrics(text))  # type: ignore[no-untyped-call]
    samples = [sample for family in parsed for sample in family.samples]
    expected = list(expected_samples(snapshot))
    assert [comparable(sample) for sample in samples] == [comparable(sample) for sample in expected]
    assert [bool(sample.exemplar) for sample in samples] == [bool(sample.exemplar) for sample in expected]
    assert [family.unit for family in parsed] == [family.spec.unit_suffix for family in snapshot.families]


@given(snapshot=snapshots)
def test_text_parses_to_what_was_rendered(snapshot: Snapshot) -> None:
    """The client library's text parser reads back every sample and label value."""
    parsed = parse_text(rendered(snapshot, Format.TEXT_0_0_4).decode())
    samples = [comparable(sample) for family in parsed for sample in family.samples]
    assert samples == [comparable(sample) for sample in expected_samples(snapshot)]
    assert len(samples) == sample_count(snapshot)


@given(number=st.floats() | st.integers(-(2**70), 2**70))
def test_numbers_are_written_as_the_client_library_does(number: float) -> None:
    """Every number has the same notation as in prometheus_client."""
    assert go_float(number) == floatToGoString(number)  # type: ignore[no-untyped-call]
