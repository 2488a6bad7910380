"""The decoder that learns gives what the decoder that reads twice gives, for any frame and whatever it has learned."""

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.protocol import learning_decoder
from exporter.protocol.decoder import BY_NAME, PartialEvent, decode
from exporter.protocol.learning_decoder import MOST, SEEN, LearningDecoder
from exporter.protocol.lenient_reader import LenientReader
from exporter.protocol.plausible_values import FIELDS
from exporter.protocol.reasons import FrameRejected
from tests.data.hostile_frames import REJECTED, TOLERATED, TURN
from tests.support.events import events

_VALUES: tuple[Any, ...] = (
    *(-1, -1.0, 0, 5, 1e300, 2**64, "", "fast", True, None),
    *([], [1, {"a": None}], {"a": {"b": 1}}, [{"name": 5, "zzz": 1}]),
)
_NAMES = ("zzz", "", "a b", "é", "x" * 300, "unknown_0", "name", "type", "event", 'a"b', "a\\b", "\n", "a\x7fb", "__class__")
_PARTS = ("NaN", "-Infinity", "1e999", r'"\ud800"', "[" * 2000 + "]" * 2000, '"a', "01", "1" * 400)
"""JSON that is not sound, or none at all."""
_extra = st.dictionaries(st.sampled_from(_NAMES) | st.text(max_size=3), st.sampled_from(_VALUES), max_size=3)
_earlier = [{tag_field: name} for tag_field, name in BY_NAME]


@st.composite
def _frames(draw: st.DrawFn) -> str | bytes:
    """An event with unknown fields, sometimes a bad value in a known one, a key twice, or a part that is no JSON."""
    document = draw(events | st.sampled_from(_earlier))
    members = list(document.items()) + list(draw(_extra).items())
    tag_field = "type" if "type" in document else "event"
    fields = list(FIELDS[BY_NAME[tag_field, document[tag_field]]])
    for key in draw(st.lists(st.sampled_from(fields), max_size=2)) if fields else ():
        members.append((key, draw(st.sampled_from(_VALUES))))
    texts = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in draw(st.permutations(members))]
    if draw(st.integers(0, 4)) == 0:
        texts.append(f"{json.dumps(draw(st.sampled_from((*_NAMES, *fields))))}:{draw(st.sampled_from(_PARTS))}")
    text = f"{{{','.join(texts)}}}"
    return text.encode() if draw(st.booleans()) else text


_hostile = [frame for frame, _ in REJECTED.values() if len(frame) < 1000] + [frame for frame in TOLERATED.values() if len(frame) < 1000]
frames = _frames() | st.sampled_from(_hostile)


def read(decoder: Any, frame: str | bytes) -> Any:
    """What a decoder makes of a frame, in a form that can be compared: it counts flaws, their order says nothing."""
    try:
        found = decoder(frame)
    except FrameRejected as rejected:
        return rejected.reason
    if not isinstance(found, PartialEvent):
        return type(found), repr(found)
    return found.name, type(found.event), repr(found.event), Counter(found.refused_values), Counter(found.unknown_fields)


@given(frames=st.lists(frames, min_size=1, max_size=6))
@example(frames=['{"type":"turn.metrics","llm_ttft_ms":-1,"zzz":1}', '{"type":"turn.metrics","llm_ttft_ms":400}'])
@example(frames=[TURN % value for value in (-1, 0, -0.0, 120_000, 120_000.0, 120_001)])
@example(frames=['{"type":"turn.metrics","llm_ttft_ms":-1,"llm_availability":{}}'])
@example(frames=['{"event":"stop","type":"user.dtmf"}', '{"event":"stop"}'])
@example(frames=['{"type":"tool.executed","calls":[{"name":5,"zzz":1},7]}', '{"type":"tool.executed","calls":[{"name":"a"}]}'])
@example(frames=['{"event":"start","start":{"codec":1,"mediaFormat":{"rate":-1}}}', '{"event":"start","start":{"callId":"c"}}'])
@example(frames=['{"type":"prompt","text":"a"}', '{"type":"prompt","zzz":5}'])
def test_the_same_result(frames: list[str | bytes]) -> None:
    """Frames that come again and again, so that their fields are learned, are read as the first time and as by the reference."""
    learning = LearningDecoder()
    for _ in range(SEEN + 1):
        for frame in frames:
            assert read(learning.decode, frame) == read(decode, frame)


@given(value=st.sampled_from(_VALUES) | st.floats() | st.integers() | st.text(max_size=3), name=st.sampled_from(sorted(BY_NAME)))
def test_the_rules_of_the_lenient_reader(value: Any, name: tuple[str, str]) -> None:
    """A text, a flag or a number in its range is taken at a glance where msgspec takes it, and refused where msgspec refuses it."""
    for key, field in FIELDS[BY_NAME[name]].items():
        if value is None or (field.plain is None and field.least > field.most):
            continue
        reader = LenientReader(is_sound=True)
        taken = reader.value(key, field, value)
        try:
            assert (taken, reader.refused_values) == (msgspec.convert(value, field.hint), [])
        except msgspec.ValidationError:
            assert (taken, len(reader.refused_values)) == (None, 1)


DRIFTED = {
    "unknown": '{"type":"turn.metrics","turn_number":1,"zzz":{"a":[1]}}',
    "sentinel": '{"type":"turn.metrics","turn_number":1,"llm_ttft_ms":-1}',
    "number for text": '{"type":"turn.metrics","turn_number":1,"llm_model":5}',
    "both": '{"type":"turn.metrics","turn_number":1,"llm_model":5,"zzz":null,"stt_delay_ms":"fast"}',
    "nested": '{"event":"start","start":{"callId":"c-1","codec":1,"mediaFormat":{"rate":-1}}}',
    "entries": '{"type":"session.usage","models":[{"type":"llm_usage","input_tokens":-1,"thinking_tokens":9}]}',
    "an earlier name": '{"type":"prompt","text":"a"}',
}


@pytest.mark.parametrize("frame", DRIFTED.values(), ids=DRIFTED)
def test_what_was_learned_is_read_once(frame: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few frames with the same flaws no second reading is needed."""
    learning, expected = LearningDecoder(), read(decode, frame)
    for _ in range(SEEN):
        learning.decode(frame)
    monkeypatch.setattr(learning_decoder, "decode_leniently", pytest.fail)
    assert read(learning.decode, frame) == expected


def test_what_is_learned_is_bounded() -> None:
    """Any number of names takes a bounded number of places."""
    learning = LearningDecoder()
    for number in range(MOST + 50):
        for _ in range(SEEN):
            learning.decode(json.dumps({"type": "user.dtmf", f"field {number}": 1}))
    assert learning.learned == {("type", "user.dtmf"): {f"field {number}" for number in range(MOST)}}


def test_what_cannot_be_learned_is_in_nobodys_way() -> None:
    """A name that no struct can have is not learned, and what comes with it is."""
    learning = LearningDecoder()
    for _ in range(SEEN):
        learning.decode(json.dumps({"type": "user.dtmf", 'a"b': 1, "event": "stop", "zzz": 1}))
    assert learning.learned == {("type", "user.dtmf"): {"zzz"}}
