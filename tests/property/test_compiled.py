"""Compiled code, which the image runs, gives the same values and bytes as the Python it replaces."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from exporter.catalogue import buckets
from exporter.catalogue.declarations import SpanName
from exporter.catalogue.exponential import classic_places, fine_places
from exporter.catalogue.inspect import inspect_event
from exporter.compiled.build import PLAIN, sources
from exporter.compiled.record_instructions import GroupInstruction
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.exporters.otlp.sender import requests
from exporter.metrics import recorder, store
from exporter.metrics.label_limits import LabelLimits
from exporter.metrics.snapshot import Snapshot
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.packed_turn import plain_packer
from exporter.sessions.registry import SessionTimeouts
from exporter.tracing.attributes import span_attributes
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.stage_spans import StageConstants, TurnStages, python_stage_spans
from exporter.tracing.turn_attributes import AttributeEntry, compiled_writer, python_writer
from exporter.tracing.turn_spans import STAGES
from tests.support.compiled import ROOT, compiled_copy, load, run_compiled
from tests.support.events import documents
from tests.support.turn_events import turn_metrics

pytestmark = [pytest.mark.external, pytest.mark.xdist_group("compiled"), pytest.mark.timeout(600)]  # the first one compiles

NOW = 1_777_885_200.0
NAMES: tuple[SpanName, ...] = (*(name for name, _ in STAGES), "turn")


CHECKS = (
    "tests/golden",
    "tests/unit/test_spans.py",
    "tests/unit/test_timeline.py",
    "tests/unit/test_pipeline.py",
    "tests/property/test_packed_turn.py",
    "tests/property/test_turn_spans.py",
    "tests/unit/test_live_journal.py",
    "tests/unit/test_live_privacy.py",
    "tests/property/test_whole_frames.py",
    "tests/sockets/test_every_field.py",
    "tests/sockets/test_truth.py::test_the_page_equals_the_truth[messy-s2s-outbound-streaming]",
    "tests/sockets/test_truth.py::test_calls_that_are_cut_off",
)
"""Tests that pass through compiled modules, from the bytes of a span to whole calls over real connections."""
RUN = """
import sys, pytest
import exporter.compiled, exporter.tracing.timeline
assert exporter.compiled.RecordWriter is not None and exporter.tracing.timeline.__file__.endswith(".so")
sys.exit(pytest.main(sys.argv[1:]))
"""


@dataclass
class Compiled:
    """A folder with a compiled copy of the package, and the modules of ``exporter.compiled`` from there."""

    folder: Path
    attributes: ModuleType
    fields: ModuleType
    frames: ModuleType
    moments: ModuleType
    pack: ModuleType
    record: ModuleType
    spans: ModuleType


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    folder = compiled_copy()
    names = ("attributes", "fields", "frames", "moments", "pack", "record", "spans")
    return Compiled(folder, *(load(folder, name) for name in names))


class Loud(NoDiagnostics):
    def internal_error(self, error: Exception) -> None:
        raise error


def keyed(options: SpanOptions) -> Any:
    return [span_attributes(inspect_event(TurnMetrics), name, options) for name in NAMES]


@given(events=st.lists(turn_metrics, min_size=1, max_size=3), capture=st.booleans(), length=st.sampled_from([0, 5, 4096]))
@example(events=[TurnMetrics()], capture=True, length=4096)
@example(events=[TurnMetrics(llm_ttft_ms=0, stt_input_tokens=0, realtime_input_audio_tokens=300)], capture=False, length=4096)
@example(events=[TurnMetrics(llm_prompt_tokens=0, tts_characters=128, stt_input_tokens=2**62)], capture=False, length=4096)
@example(
    events=[TurnMetrics(llm_request_id="é" * length) for length in (0, 50, 60, 63, 64, 127, 128, 4096)], capture=False, length=4096
)
def test_attributes(compiled: Compiled, events: Sequence[TurnMetrics], capture: bool, length: int) -> None:
    """Any sequence of turns gives the same bytes, also if whole numbers are integers."""
    options = SpanOptions(capture=capture, proposals=True, attribute_length=length)
    in_c = compiled_writer(keyed(options), TurnMetrics, options, compiled.attributes.AttributeWriter)
    in_python = python_writer(keyed(options), options)
    for event in events:
        assert in_c(event) == in_python(event)
        whole = {name: int(number) for name in event.__struct_fields__ if isinstance(number := getattr(event, name), float)}
        as_integers = msgspec.structs.replace(event, **whole)
        assert in_c(as_integers) == in_python(as_integers)


def recorded(cases: Sequence[tuple[str | None, dict[str, Any]]], record: ModuleType | None, *, exponential: bool) -> Snapshot:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "RecordWriter", record and record.RecordWriter)
        patch.setattr(store, "HistogramCell", record and record.HistogramCell)
        pipeline = Pipeline(LabelLimits(), SessionTimeouts(), Loud(), NOW, exponential=exponential)
        for agent, event in cases:
            feed = CallFeed(pipeline)
            for document in ({"type": "session.started", "agent_id": agent}, event):
                feed.consume(msgspec.json.encode(document), NOW)
        return pipeline.snapshot(NOW)


EDGES = fine_places(buckets.USER_PERCEIVED, "s", 1000.0).edges
beside_edges = st.sampled_from(EDGES).flatmap(
    lambda edge: st.sampled_from((edge, math.nextafter(edge, 0), math.nextafter(edge, math.inf)))
)


@given(
    cases=st.lists(st.tuples(st.sampled_from([None, "a", "b"]), documents["turn.metrics"]), min_size=1, max_size=6),
    edges=st.lists(beside_edges, max_size=3),
    exponential=st.booleans(),
)
@example(cases=[("a", {"type": "turn.metrics"})], edges=list(EDGES), exponential=True)
@example(
    cases=[("a", {"type": "turn.metrics", "turn_completed_callback_ms": -1, "on_user_turn_completed_ms": 5})],
    edges=[],
    exponential=False,
)
@example(
    cases=[
        ("a", {"type": "turn.metrics", "llm_provider": "o", "llm_model": model, "llm_ttft_ms": 5})
        for model in ("m", "n", "é", "éé", "n")
    ],
    edges=[],
    exponential=False,
)
def test_recording(
    compiled: Compiled, cases: Sequence[tuple[str | None, dict[str, Any]]], edges: Sequence[float], exponential: bool
) -> None:
    """Any turns give the same buckets, sums, exemplars and counts, also values on an edge of a bucket and just beside it."""
    every = [*cases, *(("a", {"type": "turn.metrics", "turn_number": n, "user_perceived_ms": edge}) for n, edge in enumerate(edges))]
    assert recorded(every, compiled.record, exponential=exponential) == recorded(every, None, exponential=exponential)


COARSE = classic_places(buckets.COMPONENT, 1000.0)


@given(
    values=st.lists(st.floats(allow_nan=False) | st.sampled_from(COARSE.edges)),
    fresh=st.lists(st.floats(0, 1e5)),
    exemplars=st.booleans(),
)
def test_cells(compiled: Compiled, values: Sequence[float], fresh: Sequence[float], exemplars: bool) -> None:
    """A cell has the items of the list that stands for it in Python, and a copy keeps them while the cell goes on."""
    cell = compiled.record.HistogramCell(COARSE.edges, COARSE.explicit, exemplars)
    listed: list[Any] = [*[0] * COARSE.size, 0.0, [None] * COARSE.size if exemplars else None]
    for value in values:
        cell.observe(value)
        listed[bisect_left(COARSE.edges, value)] += 1
        listed[COARSE.size] += value
    copy = cell.copy()
    for value in fresh:
        cell.observe(value)
    assert copy[:] == listed or math.isnan(copy[COARSE.size])
    assert [copy[place] for place in range(COARSE.size)] == copy[: COARSE.size]
    assert (copy == cell) == (copy[:] == cell[:])
    for beyond in (-1, COARSE.size + 2):
        with pytest.raises(IndexError):
            copy[beyond]


_zones = st.sampled_from((UTC, timezone(timedelta(0)), timezone(timedelta(hours=-5, minutes=30))))
_stamps = st.datetimes(timezones=_zones) | st.datetimes(datetime(2020, 2, 28), datetime(2032, 3, 2), timezones=st.just(UTC))  # noqa: DTZ001 - timezones


@given(start=_stamps, end=_stamps)
@example(start=datetime(2024, 2, 29, 23, 59, 59, 999_999, UTC), end=datetime(2024, 3, 1, tzinfo=UTC))
@example(start=datetime.min.replace(tzinfo=UTC), end=datetime.max.replace(tzinfo=UTC))
@example(start=datetime(1900, 2, 28, tzinfo=UTC), end=datetime(2000, 2, 29, tzinfo=UTC))
def test_moments(compiled: Compiled, start: datetime, end: datetime) -> None:
    """Date-times in any time zone are the same numbers to the last bit, and so are the times between them."""
    assert compiled.moments.unix_seconds(start) == start.timestamp()
    assert compiled.moments.seconds_between(start, end) == (end - start).total_seconds()


@given(event=turn_metrics, names=st.lists(st.sampled_from(TurnMetrics.__struct_fields__), min_size=2, max_size=12))
def test_fields(compiled: Compiled, event: TurnMetrics, names: list[str]) -> None:
    """Any fields of an event are read in any order."""
    assert compiled.fields.FieldsReader(TurnMetrics, tuple(names)).read(event) == attrgetter(*names)(event)


_pieces = st.lists(st.binary(max_size=300), min_size=7, max_size=7).map(tuple)
_times = st.lists(st.integers(0, 2**62), min_size=7, max_size=7)


@given(
    present=st.lists(st.integers(0, 6), unique=True),
    times=st.tuples(_times, _times),
    pieces=st.tuples(_pieces, _pieces, _pieces),
    marked=st.lists(st.none() | st.floats(0, 1e8), min_size=7, max_size=7).map(tuple),
    failed=st.integers(-1, 6),
    span=st.binary(min_size=8, max_size=8),
)
def test_stages(
    compiled: Compiled,
    present: list[int],
    times: tuple[list[int], list[int]],
    pieces: tuple[Any, Any, Any],
    marked: Any,
    failed: int,
    span: bytes,
) -> None:
    """Any stages give the same bytes; the names of marks are short."""
    names, constants, attributes = pieces
    stages = TurnStages(present, *times, names, [*attributes], marked, failed, b"session")
    with_session = tuple(bool(constant) for constant in constants)
    same = StageConstants(constants, with_session, tuple(name[:100] for name in names), b"went well", b"failed")
    assert compiled.spans.stage_spans(b"trace", span, stages, same) == python_stage_spans(b"trace", span, stages, same)


@given(spans=st.lists(st.binary(max_size=300) | st.sampled_from([b"x" * 127, b"x" * 128, b"x" * 20_000]), max_size=5))
def test_join(compiled: Compiled, spans: list[bytes]) -> None:
    """Spans are joined to the same bytes, however long they are and whatever holds them."""
    assert compiled.spans.join(spans) == compiled.spans.join(iter(spans)) == requests.python_join(spans)


def taken(read: bytes, at: int, stop: int, longest: int) -> tuple[int, list[dict[str, Any]]]:
    """As ``take_messages`` of exporter/compiled/frames.pyx, slowly."""
    messages: list[dict[str, Any]] = []
    while at < stop and read[at : at + 1] in (b"\x81", b"\x82") and read[at + 1 : at + 2] >= b"\x80":
        size, body = read[at + 1] & 0x7F, at + 2
        if size == 126:
            size, body = int.from_bytes(read[body : body + 2], "big"), body + 2
        key, content = read[body : body + 4], read[body + 4 : body + 4 + size]
        if read[at + 1] == 0xFF or len(key) < 4 or len(content) < size or body + 4 + size - at > longest:
            break
        data = bytes(byte ^ key[place % 4] for place, byte in enumerate(content))
        try:
            messages.append({"type": "websocket.receive"} | ({"text": data.decode()} if read[at] == 0x81 else {"bytes": data}))
        except UnicodeDecodeError:
            break
        at = body + 4 + size
    return at, messages


_sizes = st.sampled_from((0, 1, 7, 8, 9, 125, 126, 127, 8184, 8185)) | st.integers(0, 300)
_contents = st.binary(max_size=40) | st.text(max_size=20).map(str.encode) | _sizes.map(lambda size: b"x" * size)
_frames = st.builds(
    lambda opcode, content, mask: Frame(opcode, content).serialize(mask=mask),
    st.sampled_from((Opcode.TEXT, Opcode.BINARY)),
    _contents,
    st.sampled_from((True, True, True, False)),
)


@given(
    read=st.lists(_frames | st.binary(max_size=5), max_size=5).map(b"".join),
    cut=st.integers(0, 3),
    at=st.integers(0, 9),
    stop=st.integers(0, 20_000),
    longest=st.sampled_from((8192, 8192, 100, 0)),
)
def test_taking_messages(compiled: Compiled, read: bytes, cut: int, at: int, stop: int, longest: int) -> None:
    """From any bytes the same messages are taken, and none beyond where they end."""
    read = read[: len(read) - cut]
    for start in (0, min(at, len(read))):
        assert compiled.frames.take_messages(read, start, stop, longest) == taken(read, start, stop, longest)


_EDGES = (-0.0, 127.0, 128.0, 255.0, 256.0, 65_535.0, 65_536.0, 0.5, 5e-324)
_numbers = st.floats() | st.integers(0, 70_000).map(float) | st.sampled_from(_EDGES)
_LONG = [letter * size for letter in "xé" for size in (31, 32, 255, 256, 5_000)]
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50) | st.sampled_from(_LONG)
_others = st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2)


@given(
    values=st.lists(st.none() | st.booleans() | _numbers | _texts | _others, max_size=300),
    left_out=st.sets(st.integers(0, 9), max_size=3),
)
def test_packing(compiled: Compiled, values: list[Any], left_out: set[int]) -> None:
    """Values that fit come back from the compiled packer as from the one in Python; no number takes more room."""
    packed = compiled.pack.Packer(left_out).pack(tuple(values))
    expected = plain_packer([place for place in left_out if place < len(values)])(tuple(values))
    if packed is None:
        assert len(expected) > 1_000 or len(values) > 256
        return
    assert len(packed) <= len(expected) + 2
    found = msgspec.msgpack.decode(packed)
    assert repr([float(each) if type(each) is int else each for each in found]) == repr(_without_end(msgspec.msgpack.decode(expected)))


def _without_end(values: list[Any]) -> list[Any]:
    while values and values[-1] is None:
        values.pop()
    return values


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"llm_ttft_ms": None, "llm_tokens_per_second": "fast"}, TypeError),
        ({"llm_prompt_tokens": "many"}, ValueError),
        ({"llm_prompt_tokens": 1e300}, None),
        ({"llm_request_id": 5}, TypeError),
        ({"llm_request_id": "\ud800"}, UnicodeEncodeError),
        ({"llm_model": []}, TypeError),
    ],
)
def test_values_no_decoder_lets_through(compiled: Compiled, wrong: dict[str, Any], error: type[Exception] | None) -> None:
    """A value of a wrong type raises an exception, and the next event is written correctly."""
    options = SpanOptions()
    write = compiled_writer(keyed(options), TurnMetrics, options, compiled.attributes.AttributeWriter)
    good, bad = TurnMetrics(llm_request_id="a"), msgspec.structs.replace(TurnMetrics(), **wrong)
    if error is not None:
        with pytest.raises(error):
            write(bad)
    else:
        assert write(bad) == python_writer(keyed(options), options)(bad)
    assert write(good) == python_writer(keyed(options), options)(good)


def test_wrong_programs_are_refused(compiled: Compiled) -> None:
    """A program that would read or write beyond its memory is refused."""
    same = StageConstants((), (), (), b"", b"")
    entry = AttributeEntry("double", (5,), head=b"head")
    with pytest.raises(ValueError, match="must be the places"):
        compiled.attributes.AttributeWriter([[entry]], 5, 9, 100)
    for name in ("no_such_field", "earlier_names", "__class__"):
        with pytest.raises(ValueError, match="no field of TurnMetrics"):
            compiled.record.RecordWriter([GroupInstruction(number=0, key=(name,), updates=[])], TurnMetrics, None)
    with pytest.raises(ValueError, match="more than 8 fields"):
        compiled.record.RecordWriter([GroupInstruction(number=0, key=("pipeline",) * 9, updates=[])], TurnMetrics, None)
    with pytest.raises(TypeError, match="of type TurnMetrics is recorded here, not TurnCompleted"):
        compiled.record.RecordWriter([], TurnMetrics, None).record(TurnCompleted(), None, NOW, None)
    with pytest.raises(ValueError, match="no field of TurnMetrics"):
        compiled.fields.FieldsReader(TurnMetrics, ("pipeline", "no_such_field"))
    with pytest.raises(TypeError, match="of type TurnMetrics is read here, not TurnCompleted"):
        compiled.fields.FieldsReader(TurnMetrics, ("pipeline", "llm_model")).read(TurnCompleted())
    for explicit in ((0, 1, 2, 3), (1, 0, 0), (-1, 0, 0)):
        with pytest.raises(ValueError, match="places"):
            compiled.record.HistogramCell((1.0, 2.0), explicit, True)
    with pytest.raises(ValueError, match="4 values, not 6"):
        compiled.attributes.AttributeWriter([[entry]], 6, 9, 100).write((1, 2, 3, 4))
    with pytest.raises(ValueError, match="a span id has 8 bytes"):
        compiled.spans.stage_spans(b"", b"short", TurnStages([], [], [], (), [], (), -1, b""), same)
    with pytest.raises(ValueError, match="no place 256"):
        compiled.pack.Packer([256])
    for at, longest in ((0, 8193), (-1, 8192)):
        with pytest.raises(ValueError, match="cannot be taken"):
            compiled.frames.take_messages(b"", at, 0, longest)
    with pytest.raises(IndexError):
        compiled.spans.stage_spans(b"", b"8 bytes!", TurnStages([7], [1], [1], (), [b""], (None,), -1, b""), same)


def test_the_whole_package(compiled: Compiled) -> None:
    """The tests of spans, recording and whole calls pass with every compiled module in place."""
    made = {path.name.partition(".")[0] for path in (compiled.folder / "exporter").rglob("*.so")}
    assert made == {source.stem for source in sources(ROOT / "exporter")}
    done = run_compiled(compiled.folder, "-c", RUN, "-q", "-p", "no:cacheprovider", *CHECKS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong folder or a missing compiler gives a one-line message that says what is needed."""
    monkeypatch.setenv("CC", "no-such-compiler")
    (tmp_path / "exporter" / "compiled").mkdir(parents=True)
    for name in PLAIN:
        module = tmp_path / "exporter" / f"{name}.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.touch()
    for folder, message in ((tmp_path, "usage: "), (tmp_path / "exporter", "compiling failed; it needs Cython, a C compiler")):
        done = run_compiled(tmp_path, "-m", "exporter.compiled.build", str(folder))
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(message)
