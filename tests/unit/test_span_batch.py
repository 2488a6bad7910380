"""Spans that are joined already are those that were joined."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.exporters.otlp.sender.requests import join
from exporter.tracing.span_batch import SpanBatch


@given(spans=st.lists(st.binary(max_size=200) | st.sampled_from([b"", b"x" * 127, b"x" * 128, b"x" * 16_384, b"x" * 70_000])))
def test_a_batch_is_a_sequence_of_its_spans(spans: list[bytes]) -> None:
    """A batch has the length and the spans of what was joined, in order."""
    batch = SpanBatch(join(spans), len(spans))
    assert len(batch) == len(spans)
    assert list(batch) == spans
    assert (batch[:1], *batch[-1:]) == (spans[:1], *spans[-1:])
