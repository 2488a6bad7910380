"""Our bytes equal those of the protobuf library."""

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from exporter import protobuf
from exporter.tracing import encoder

_texts = st.text(max_size=40) | st.sampled_from(["", "é" * 70, "𝄞" * 40, "x" * 126, "x" * 127, "x" * 128, "x" * 20_000])
_values = _texts | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.lists(_texts, max_size=4)
_attributes = st.dictionaries(_texts.filter(bool), _values, max_size=6)
_times = st.integers(0, 2**64 - 1)
_ids = st.binary(min_size=8, max_size=8)


def any_value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))


def entries(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


@given(
    trace=st.binary(min_size=16, max_size=16),
    span=_ids,
    parent=st.none() | _ids,
    name=_texts.filter(bool),
    kind=st.sampled_from([encoder.INTERNAL, encoder.CLIENT]),
    start_end=st.tuples(_times.filter(bool), _times.filter(bool)),
    attributes=_attributes,
    events=st.lists(st.tuples(_times.filter(bool), _texts.filter(bool), _attributes), max_size=3),
    dropped=st.integers(0, 2**32 - 1),
    linked=st.booleans(),
    failed=st.booleans(),
)
def test_a_span_is_byte_for_byte_the_librarys(
    trace: bytes, span: bytes, parent: bytes | None, name: str, kind: Any, start_end: tuple[int, int],
    attributes: dict[str, Any], events: list[Any], dropped: int, linked: bool, failed: bool,
) -> None:  # fmt: skip
    """For any span, we write the bytes that the library writes for the same message."""
    written = b"".join((
        encoder.trace_part(trace), span, encoder.parent_part(parent) if parent else b"", encoder.name_part(name, kind),
        encoder.start_end_part(*start_end), protobuf.attributes(encoder.ON_SPAN, attributes),
        *(encoder.event(at, encoder.event_name(name), protobuf.attributes(encoder.ON_EVENT, more)) for at, name, more in events),
        encoder.dropped_events_part(dropped), encoder.link_part(trace, span) if linked else b"",
        encoder.FAILED if failed else b"", encoder.FLAGS,
    ))  # fmt: skip
    expected = Span(
        trace_id=trace, span_id=span, parent_span_id=parent or b"", name=name, kind=kind,
        start_time_unix_nano=start_end[0], end_time_unix_nano=start_end[1], attributes=entries(attributes),
        events=[Span.Event(time_unix_nano=at, name=name, attributes=entries(more)) for at, name, more in events],
        dropped_events_count=dropped, links=[Span.Link(trace_id=trace, span_id=span)] if linked else [],
        status=Status(code=Status.STATUS_CODE_ERROR) if failed else None, flags=0x101,
    )  # fmt: skip
    assert Span.FromString(written) == expected
    assert written == expected.SerializeToString(deterministic=True)


@given(
    key=st.text(min_size=1, max_size=30),
    value=_values,
    field=st.sampled_from([encoder.ON_SPAN, encoder.ON_EVENT]),
)
def test_prefixes_are_those_of_whole_attributes(key: str, value: Any, field: int) -> None:
    """A prefix and a number make the same bytes as the whole attribute."""
    if isinstance(value, bool | str | list):
        return
    if isinstance(value, float):
        assert protobuf.double_prefix(field, key) + struct.pack("<d", value) == protobuf.attribute(field, key, value)
    elif value >= 0:
        varint = protobuf.VarintCache()[value]
        assert protobuf.integer_prefixes(field, key)[len(varint)] + varint == protobuf.attribute(field, key, value)
