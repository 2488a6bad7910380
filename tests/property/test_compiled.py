"""Compiled code, which the image runs, gives the same values and bytes as the Python it replaces."""

import math
import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from exporter.catalogue import buckets
from exporter.catalogue.exponential import classic_places, fine_places
from exporter.catalogue.inspect import FieldSpec, inspect_event
from exporter.compiled.build import sources
from exporter.compiled.record_instructions import GroupInstruction
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.metrics import recorder, store
from exporter.metrics.label_limits import LabelLimits
from exporter.metrics.snapshot import Snapshot
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.clock import EARLIEST, LATEST, SECOND
from exporter.sessions.kept_turn import HEAD
from exporter.sessions.registry import SessionTimeouts
from exporter.sessions.span_state import SpanState
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.span_batch import SpanBatch
from exporter.tracing.timeline import TIMED_BY
from exporter.tracing.turn_attributes import AttributeEntry
from exporter.tracing.turn_encoder import Additions, PythonTurnEncoder, TurnConstants, TurnEncoder, TurnIds, c_encoder
from exporter.tracing.turn_spans import turn_constants
from tests.support.compiled import ROOT, compiled_copy, load, run_compiled
from tests.support.events import documents
from tests.support.turn_events import turn_metrics

pytestmark = [pytest.mark.external, pytest.mark.xdist_group("compiled"), pytest.mark.timeout(600)]  # the first one compiles

NOW = 1_777_885_200.0


CHECKS = (
    "tests/golden",
    "tests/unit/test_call_reader.py",
    "tests/unit/test_spans.py",
    "tests/unit/test_timeline.py",
    "tests/unit/test_pipeline.py",
    "tests/property/test_learning_decoder.py",
    "tests/property/test_kept_turn.py",
    "tests/property/test_turn_spans.py",
    "tests/unit/test_live_calls.py",
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
    field_getter: ModuleType
    frames: ModuleType
    moments: ModuleType
    pack: ModuleType
    record: ModuleType
    turns: ModuleType


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    folder = compiled_copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "exporter.compiled.attributes", load(folder, "attributes"))  # which turns builds upon
        return Compiled(folder, *(load(folder, name) for name in ("field_getter", "frames", "moments", "pack", "record", "turns")))


class Loud(NoDiagnostics):
    def internal_error(self, error: Exception) -> None:
        raise error


_ENCODERS: dict[SpanOptions, tuple[TurnEncoder, TurnEncoder]] = {}
IDS = TurnIds(b"trace", b"8 bytes!", b"parent", b"link")


def encoders(compiled: Compiled, options: SpanOptions) -> tuple[TurnEncoder, TurnEncoder]:
    """The encoder in C and that in Python; the same two for the same options, so that each turn follows any others."""
    if options not in _ENCODERS:
        constants = turn_constants(options)
        _ENCODERS[options] = c_encoder(options, constants, compiled.turns.TurnEncoder), PythonTurnEncoder(options, constants)
    return _ENCODERS[options]


def encoded(encoder: TurnEncoder, event: TurnMetrics, case: "Case") -> tuple[object, ...]:
    """All that an encoder says of a turn."""
    state = SpanState()
    state.turn_name, state.identity, state.session_part = b"name", b"session and agent", b"session"
    added = Additions(case.more, case.events, case.failed)
    encoder.begin(event, case.window, case.receipt, added)
    start, end = encoder.start, encoder.end
    spans = encoder.finish(IDS, state, start - case.earlier, added)
    assert len(spans) == len(encoder.present) + 1
    return start, end, encoder.estimated, encoder.present, list(spans)


@dataclass
class Case:
    """What a turn is encoded with."""

    window: tuple[int, int] = (EARLIEST, LATEST)
    receipt: int = 1_777_885_210 * SECOND
    more: list[bytes] | None = None
    failed: int = -1
    events: bytes = b""
    earlier: int = 0


_near = st.integers(-100 * SECOND, 100 * SECOND).map(lambda distance: 1_777_885_200 * SECOND + distance)
_some = st.sampled_from([b"", b"", b"x", b"y" * 130, b"z" * 20_000])
cases = st.builds(
    Case,
    window=st.just((EARLIEST, LATEST)) | st.tuples(_near, _near),
    receipt=_near,
    more=st.none() | st.lists(_some, min_size=8, max_size=8),
    failed=st.integers(-1, 6),
    events=_some,
    earlier=st.integers(0, SECOND),
)


@given(
    events=st.lists(turn_metrics, min_size=1, max_size=3),
    case=cases,
    capture=st.booleans(),
    length=st.sampled_from([0, 5, 4096]),
)
@example(events=[TurnMetrics()], case=Case(), capture=True, length=4096)
@example(
    events=[TurnMetrics(llm_ttft_ms=0, stt_input_tokens=0, realtime_input_audio_tokens=300)], case=Case(), capture=False, length=4096
)
@example(events=[TurnMetrics(llm_prompt_tokens=0, tts_characters=128, stt_input_tokens=2**62)], case=Case(), capture=False, length=9)
@example(
    events=[TurnMetrics(llm_request_id="é" * length) for length in (0, 50, 60, 63, 64, 127, 128, 4096)],
    case=Case(),
    capture=False,
    length=4096,
)
def test_turns(compiled: Compiled, events: Sequence[TurnMetrics], case: Case, capture: bool, length: int) -> None:
    """Any sequence of turns gives the same times and bytes, also if whole numbers are integers."""
    in_c, in_python = encoders(compiled, SpanOptions(capture=capture, proposals=True, attribute_length=length))
    for event in events:
        assert encoded(in_c, event, case) == encoded(in_python, event, case)
        whole = {name: int(number) for name in event.__struct_fields__ if isinstance(number := getattr(event, name), float)}
        as_integers = msgspec.structs.replace(event, **whole)
        assert encoded(in_c, as_integers, case) == encoded(in_python, as_integers, case)


_OTHERS = ("tts_pipeline_ms", "turn_completed_callback_ms", "on_user_turn_completed_ms", "tts_audio_duration_ms")
_TIMES = [field for field in inspect_event(TurnMetrics).fields if field.name in {*chain(*TIMED_BY), *_OTHERS}]
_seconds = st.integers(-4, 4).map(lambda moment: 1_777_885_200.0 + moment)


def time_of(field: FieldSpec) -> st.SearchStrategy[Any]:
    """A few moments that lie within one turn, and lengths that reach from one to another."""
    if field.type is datetime:
        return _seconds.map(lambda moment: datetime.fromtimestamp(moment, UTC))
    return _seconds if field.quantity and field.quantity.wire_unit == "unix seconds" else st.sampled_from([0.0, 0.5, 1000.0, 2500.0])


@given(
    fields=st.sets(st.sampled_from(_TIMES), max_size=6).flatmap(
        lambda fields: st.fixed_dictionaries({field.name: time_of(field) for field in fields})
    ),
    agent_first=st.none() | st.booleans(),
)
@example(
    fields={"tts_timestamp": 1_777_885_200.0, "tts_duration_ms": 900.0, "tts_ttfb_ms": 100.0, "llm_ttft_ms": 300.0}, agent_first=None
)
@example(
    fields={"llm_timestamp": 1_777_885_200.0, "llm_duration_ms": 900.0, "llm_ttft_ms": 100.0, "stt_delay_ms": 7.0}, agent_first=None
)
@example(
    fields={"llm_timestamp": 1_777_885_200.0, "turn_completed_callback_ms": 900.0, "on_user_turn_completed_ms": 100.0}, agent_first=None
)
@example(
    fields={"stt_timestamp": 1_777_885_200.0, "stt_delay_ms": 900.0, "tts_pipeline_ms": 5.0, "turn_decision_ms": 50.0}, agent_first=None
)
@example(fields={"agent_started_speaking_at": datetime(2026, 5, 4, 9, tzinfo=UTC), "realtime_ttft_ms": 400.0}, agent_first=True)
@example(
    fields={"sdk_stopped_speaking_at": 1_777_885_200.0, "user_perceived_ms": 400.0, "tts_audio_duration_ms": 800.0}, agent_first=False
)
def test_few_times(compiled: Compiled, fields: dict[str, Any], agent_first: bool | None) -> None:
    """Any few times and lengths give the same timeline: each way to find the end of speech is taken if no better one is there."""
    in_c, in_python = encoders(compiled, SpanOptions())
    event = TurnMetrics(agent_first=agent_first, **fields)
    assert encoded(in_c, event, Case()) == encoded(in_python, event, Case())


@given(moment=st.datetimes(timezones=st.none() | st.timezones() | st.just(UTC)))
@example(moment=datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC))
@example(moment=datetime(2100, 3, 1, tzinfo=UTC))
@example(moment=datetime(1, 1, 1, tzinfo=UTC))
@example(moment=datetime(9999, 12, 31, tzinfo=UTC))
def test_dates(compiled: Compiled, moment: datetime) -> None:
    """A stamp in any time zone is the same moment, in any year of the calendar."""
    if isinstance(outcome(datetime.timestamp, moment), type):
        return
    in_c, in_python = encoders(compiled, SpanOptions())
    event, case = TurnMetrics(user_stopped_speaking_at=moment, stt_delay_ms=100.0), Case(window=(0, LATEST))
    assert encoded(in_c, event, case) == encoded(in_python, event, case)
    assert outcome(compiled.moments.unix_seconds, moment) == outcome(datetime.timestamp, moment)


def outcome(timestamp: Callable[[datetime], float], moment: datetime) -> float | type[Exception]:
    try:
        return timestamp(moment)
    except (OverflowError, ValueError) as error:  # a local time that the system does not know
        return type(error)


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
    assert compiled.field_getter.FieldGetter(TurnMetrics, tuple(names)).read(event) == attrgetter(*names)(event)


def taken(read: bytes, at: int, stop: int, longest: int, most: int) -> tuple[int, list[dict[str, Any]]]:
    """As ``take_messages`` of exporter/compiled/frames.pyx, slowly."""
    messages: list[dict[str, Any]] = []
    while at < stop and len(messages) < most and read[at : at + 1] in (b"\x81", b"\x82") and read[at + 1 : at + 2] >= b"\x80":
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
    most=st.integers(0, 6),
)
def test_taking_messages(compiled: Compiled, read: bytes, cut: int, at: int, stop: int, longest: int, most: int) -> None:
    """From any bytes the same messages are taken, and none beyond where they end."""
    read = read[: len(read) - cut]
    for start in (0, min(at, len(read))):
        assert compiled.frames.take_messages(read, start, stop, longest, most) == taken(read, start, stop, longest, most)


_EDGES = (-0.0, 127.0, 128.0, 255.0, 256.0, 65_535.0, 65_536.0, 0.5, 5e-324)
_numbers = st.floats() | st.integers(0, 70_000).map(float) | st.sampled_from(_EDGES)
_LONG = [letter * size for letter in "xé" for size in (31, 32, 255, 256, 5_000)]
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50) | st.sampled_from(_LONG)
_others = st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_EDGES = [_EPOCH + timedelta(seconds=edge, microseconds=more) for edge in (0, 1 << 32, 1 << 34) for more in (-1, 0, 1)]
_times = st.floats(-6e10, 2e11).map(lambda seconds: _EPOCH + timedelta(seconds=seconds)) | st.sampled_from(_TIME_EDGES)
_anywhere = st.builds(datetime.astimezone, _times, st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))


_MOST = 256
AnyValues: Any = msgspec.defstruct("AnyValues", [(f"f{place}", Any, None) for place in range(_MOST)])


@given(
    values=st.lists(st.none() | st.booleans() | _numbers | _texts | _anywhere | _others, max_size=_MOST),
    left_out=st.sets(st.integers(0, 9), max_size=3),
    turned=st.booleans(),
)
def test_packing(compiled: Compiled, values: list[Any], left_out: set[int], turned: bool) -> None:
    """Values come back as msgspec writes them, in the order that is asked for; none takes more room."""
    names = AnyValues.__struct_fields__[: len(values)][:: -1 if turned else 1]
    packed = compiled.pack.Packer(AnyValues, names, [f"f{place}" for place in left_out]).pack(AnyValues(*values), 1.0, None)
    kept = [None if place in left_out else value for place, value in enumerate(values)]
    left = _without_end(kept[:: -1 if turned else 1])
    expected = msgspec.msgpack.encode(left)
    if packed is None:
        assert len(expected) > 1_000
        return
    packed = packed[HEAD.size :]
    assert len(packed) <= len(expected) + 2
    found = msgspec.msgpack.decode(packed)
    assert repr([float(each) if type(each) is int else each for each in found]) == repr(msgspec.msgpack.decode(expected))


def test_a_time_without_a_year_is_not_packed(compiled: Compiled) -> None:
    """A time that lies in no year of UTC is left to Python."""
    assert (
        compiled.pack.Packer(AnyValues, ("f0",), ()).pack(AnyValues(datetime.fromisoformat("0001-01-01T00:00:00+23:59")), 1.0, None)
        is None
    )


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
    in_c, in_python = encoders(compiled, SpanOptions())
    good, bad, case = TurnMetrics(llm_request_id="a"), msgspec.structs.replace(TurnMetrics(), **wrong), Case()
    if error is not None:
        with pytest.raises(error):
            encoded(in_c, bad, case)
    else:
        assert encoded(in_c, bad, case) == encoded(in_python, bad, case)
    assert encoded(in_c, good, case) == encoded(in_python, good, case)


@given(turns=st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=3).map(dict), max_size=6))
def test_flags_that_come_again(compiled: Compiled, turns: list[dict[str, bool]]) -> None:
    """Flags are written anew if a name, a flag or their order differs from the turn before."""
    (in_c, in_python), case = encoders(compiled, SpanOptions()), Case()
    for flags in turns:
        event = TurnMetrics(llm_availability=flags)
        assert encoded(in_c, event, case) == encoded(in_python, event, case)


def test_an_event_of_another_type_is_no_turn(compiled: Compiled) -> None:
    """The encoder reads fields where a turn.metrics has them, so it refuses all other events."""
    in_c, _ = encoders(compiled, SpanOptions())
    with pytest.raises(TypeError, match=r"a turn of type TurnMetrics is written here, not TurnCompleted"):
        in_c.begin(cast("Any", TurnCompleted()), (0, 0), 0, Additions())
    with pytest.raises(TypeError, match=r"Additions are added here, not TurnIds"):
        in_c.begin(TurnMetrics(), (0, 0), 0, cast("Any", IDS))
    in_c.begin(TurnMetrics(), (0, 0), 0, Additions())
    with pytest.raises(TypeError, match=r"ids are TurnIds, not Additions"):
        in_c.finish(cast("Any", Additions()), SpanState(), 0, Additions())


_TYPES = (TurnIds, Additions, SpanBatch)


def test_wrong_programs_are_refused(compiled: Compiled) -> None:
    """A program that would read or write beyond its memory is refused."""
    options = SpanOptions()
    constants, fields = turn_constants(options), TurnMetrics.__struct_fields__
    entry = AttributeEntry("double", (len(fields),), head=b"head")
    long_mark = msgspec.structs.replace(constants.stages[3], mark=b"x" * 101)

    def create(entries: Any, constants: TurnConstants = constants, timed_by: Any = TIMED_BY) -> TurnEncoder:
        return cast("TurnEncoder", compiled.turns.TurnEncoder(entries, TurnMetrics, 9, 100, constants, timed_by, (b"", b""), _TYPES))

    for entries, message in (([[entry]] * 8, "must be the places"), ([[]] * 7, "a turn has 7 stages")):
        with pytest.raises(ValueError, match=message):
            create(entries)
    with pytest.raises(ValueError, match="a mark has up to 100 bytes"):
        create([[]] * 8, msgspec.structs.replace(constants, stages=(long_mark, *constants.stages[1:])))
    with pytest.raises(ValueError, match="a turn has 7 stages"):
        create([[]] * 8, timed_by=TIMED_BY[1:])
    encoder = create([[]] * 8)
    with pytest.raises(ValueError, match="no turn was begun"):
        encoder.finish(IDS, SpanState(), 0, Additions())
    with pytest.raises(ValueError, match="3 lists of attributes, not 8"):
        encoder.begin(TurnMetrics(), (0, 0), 0, Additions([b""] * 3))
    encoder.begin(TurnMetrics(), (0, 0), 0, Additions())
    with pytest.raises(ValueError, match="no turn was begun with these attributes"):
        encoder.finish(IDS, SpanState(), 0, Additions([b""] * 3))
    with pytest.raises(ValueError, match="a span id has 8 bytes"):
        encoder.finish(msgspec.structs.replace(IDS, span=b"short"), SpanState(), 0, Additions())
    for name in ("no_such_field", "earlier_names", "__class__"):
        with pytest.raises(ValueError, match="no field of TurnMetrics"):
            compiled.record.RecordWriter([GroupInstruction(number=0, key=(name,), updates=[])], TurnMetrics, None)
    with pytest.raises(ValueError, match="more than 8 fields"):
        compiled.record.RecordWriter([GroupInstruction(number=0, key=("pipeline",) * 9, updates=[])], TurnMetrics, None)
    with pytest.raises(TypeError, match="of type TurnMetrics is recorded here, not TurnCompleted"):
        compiled.record.RecordWriter([], TurnMetrics, None).record(TurnCompleted(), None, NOW, None)
    with pytest.raises(ValueError, match="no field of TurnMetrics"):
        compiled.field_getter.FieldGetter(TurnMetrics, ("pipeline", "no_such_field"))
    with pytest.raises(TypeError, match="of type TurnMetrics is read here, not TurnCompleted"):
        compiled.field_getter.FieldGetter(TurnMetrics, ("pipeline", "llm_model")).read(TurnCompleted())
    for explicit in ((0, 1, 2, 3), (1, 0, 0), (-1, 0, 0)):
        with pytest.raises(ValueError, match="places"):
            compiled.record.HistogramCell((1.0, 2.0), explicit, True)
    with pytest.raises(ValueError, match="more than 256 fields"):
        compiled.pack.Packer(AnyValues, tuple(f"f{place}" for place in range(_MOST + 1)), ())
    with pytest.raises(TypeError, match="of type TurnMetrics is packed here, not AnyValues"):
        compiled.pack.Packer(TurnMetrics, TurnMetrics.__struct_fields__, ()).pack(AnyValues(), 1.0, None)
    for at, longest in ((0, 8193), (-1, 8192)):
        with pytest.raises(ValueError, match="cannot be taken"):
            compiled.frames.take_messages(b"", at, 0, longest, 1)


def test_the_whole_package(compiled: Compiled) -> None:
    """The tests of spans, recording and whole calls pass with every compiled module in place."""
    made = {path.name.partition(".")[0] for path in (compiled.folder / "exporter").rglob("*.so")}
    assert made == {source.stem for source in sources(ROOT / "exporter")}
    done = run_compiled(compiled.folder, "-c", RUN, "-q", "-p", "no:cacheprovider", *CHECKS)
    assert done.returncode == 0, done.stdout + done.stderr
