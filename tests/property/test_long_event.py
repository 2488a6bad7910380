"""Long events are shortened: whatever the JSON and however it arrives, the result is JSON and short fields are what they were."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.protocol.long_event import LONGEST_PART, LONGEST_TOKEN, MOST_KEPT, LongEventReader, shorten
from exporter.protocol.reasons import FrameRejected, RejectionReason


@dataclass(frozen=True)
class Repeated:
    """A text, or a list of equal parts: written out only for the test, so that a failure can be read."""

    part: Any
    times: int

    def written_out(self) -> Any:
        """The text or the list."""
        return self.part * self.times if isinstance(self.part, str) else [self.part] * self.times


texts = st.text(max_size=20) | st.sampled_from(['"', "\\", '\\"', "\\\\", "]}", "[{", "語", "😀", '","', "\x00"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda parts: st.lists(parts, max_size=6) | st.dictionaries(texts, parts, max_size=6), max_leaves=5)
long_texts = st.builds(Repeated, texts.filter(bool), st.integers(400, 1_500))
long_lists = st.builds(Repeated, values.filter(lambda value: not isinstance(value, str)), st.integers(0, 2_000))
long_values = long_texts | long_lists
nested = st.lists(scalars | long_values, max_size=3) | st.dictionaries(texts, scalars | long_values, max_size=3)
events = st.dictionaries(texts | long_texts, values | long_values | nested, max_size=4)
dumps = st.sampled_from([{}, {"ensure_ascii": False}, {"indent": 1}, {"separators": (",", ":")}])


def written_out(value: Any) -> Any:
    """A value with its repeated parts."""
    match value:
        case Repeated():
            return value.written_out()
        case dict():
            return {written_out(name): written_out(part) for name, part in value.items()}
        case list():
            return [written_out(part) for part in value]
    return value


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def read(parts: list[bytes]) -> bytes:
    reader = LongEventReader()
    for part in parts:
        reader.feed(part)
    return reader.finish()


def expected(value: Any) -> Any:
    """What becomes of a value whose lists and objects are short once their strings are shortened."""
    if isinstance(value, dict):
        return {key: expected(part) for key, part in value.items()}
    if isinstance(value, list):
        return [expected(part) for part in value]
    return None if len(json.dumps(value)) > LONGEST_TOKEN else value


@given(event=events, style=dumps, cuts=st.lists(st.integers(0, 1 << 20), max_size=8))
def test_any_event_is_shortened(event: dict[str | Repeated, Any], style: dict[str, Any], cuts: list[int]) -> None:
    """The result is bounded JSON, the same however the event is cut, and a short field is unchanged."""
    whole = written_out(event)
    data = json.dumps(whole, **style).encode()
    kept = read(pieces(data, cuts))
    assert kept == shorten(data) == shorten(data.decode())
    assert len(kept) <= MOST_KEPT + 1
    found = json.loads(kept)
    if len(kept) < MOST_KEPT - LONGEST_PART - LONGEST_TOKEN:
        names = {name if len(json.dumps(name)) <= LONGEST_TOKEN // 6 else "" for name in whole}
        assert {name for name in found if name} >= {name for name in names if name}
        for name, value in whole.items():
            if len(json.dumps([name, value])) <= LONGEST_TOKEN // 6:
                assert name == "" or found[name] == value


@given(event=st.dictionaries(texts, st.lists(scalars, max_size=4) | scalars | st.just("x" * 5_000), max_size=6))
def test_only_long_strings_are_lost(event: dict[str, Any]) -> None:
    """Of an event whose only long parts are strings, everything else is kept in its place."""
    assert json.loads(read([bytes([byte]) for byte in json.dumps(event).encode()])) == expected(event)


@pytest.mark.parametrize(
    ("event", "kept"),
    [
        ({"a": "x" * 100_000, "b": 1}, {"a": None, "b": 1}),
        ({"a": list(range(10_000)), "b": 1}, {"a": [], "b": 1}),
        ({"a": [{"role": "user", "text": "hi"}] * 5_000, "b": 1}, {"a": [], "b": 1}),
        ({"a": {str(number): number for number in range(5_000)}, "b": 1}, {"a": {}, "b": 1}),
        ({"a": [{"name": "t", "output": "語" * 30_000}], "b": 1}, {"a": [{"name": "t", "output": None}], "b": 1}),
        ({"a": [{"name": "t", "output": list(range(9_000))}], "b": 1}, {"a": [{"name": "t", "output": []}], "b": 1}),
        ({"n" * 2_000: 1, "b": 1}, {"": 1, "b": 1}),
    ],
    ids=["string", "numbers", "entries", "object", "nested string", "nested list", "name"],
)
def test_what_is_dropped(event: dict[str, Any], kept: dict[str, Any]) -> None:
    """A long string, list, object or name is dropped at its place, as far inside as it is long."""
    assert json.loads(shorten(json.dumps(event))) == kept


def test_a_part_that_is_too_deep_is_dropped() -> None:
    """A part that is nested without end costs no other field."""
    deep = "[" * 50_000 + "]" * 50_000
    found = json.loads(shorten(f'{{"a":{deep},"b":1}}'))
    assert found["b"] == 1


def test_too_many_fields() -> None:
    """Fields beyond what is kept are dropped, the first ones are kept."""
    found = json.loads(shorten(json.dumps({"type": "x"} | {f"field-{number}": number for number in range(20_000)})))
    assert found["type"] == "x"
    assert found["field-1000"] == 1000
    assert len(found) < 20_000


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (" " * 70_000, RejectionReason.EMPTY),
        ("x" * 70_000, RejectionReason.NOT_JSON),
        ('{"a":"' + "x" * 70_000, RejectionReason.NOT_JSON),
        ('{"a":"' + "x" * 70_000 + '"', RejectionReason.NOT_JSON),
        ('{"a":"' + "x" * 70_000 + '"}{', RejectionReason.NOT_JSON),
        ("[" + "1," * 70_000 + "1]", RejectionReason.NOT_OBJECT),
        ('{"a":' + "[[[1]]]," * 600_000 + "1}", RejectionReason.TOO_LARGE),
    ],
    ids=["white space", "no token", "cut off in a string", "cut off", "data after it", "list", "too many tokens"],
)
def test_what_is_no_event(event: str, reason: RejectionReason) -> None:
    """What is no JSON object, or would take too long to read, is rejected with its reason."""
    with pytest.raises(FrameRejected) as rejected:
        shorten(event)
    assert rejected.value.reason is reason
