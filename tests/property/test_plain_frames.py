"""Turns that a reader in C reads are what the reference reads, with the same flaws; the others are left to another decoder."""

import json
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnContribution
from exporter.protocol.decoder import PartialEvent, decode
from exporter.protocol.plain_turns import REPEATED, with_flaws
from exporter.protocol.plausible_values import FIELDS
from tests.data.hostile_frames import REJECTED, TOLERATED, TURN
from tests.support.compiled import compiled_copy, load
from tests.support.turn_events import turn_metrics

pytestmark = [pytest.mark.external, pytest.mark.xdist_group("compiled"), pytest.mark.timeout(600)]  # the first one compiles

KEYS = FIELDS[TurnMetrics]
UNKNOWN = "new_a"
"""A field that the exporter does not know, and that was learned."""
NUMBERS = (
    *("0", "-0", "-1", "00", "01", "1.", ".5", "1.0", "1e2", "1E-2", "1e999", "0.1", "0.30000000000000004", "2.5e-1", "120000"),
    *("120000.1", "9007199254740991", "9007199254740993", "9" * 18, "9" * 30, "0." + "3" * 40, "1795993195.8221234", "1" * 400),
    *("1795993195.822", "4.35", "0.000001", "99999.99999999999", "1.7976931348623157e308", "+1", "1_0", "0x1", "NaN", "- 1", "1.5.2"),
)
TIMES = (
    *("2026-11-29T22:59:48.989Z", "2026-11-30T22:59:48Z", "2026-02-29T00:00:00Z", "2028-02-29T00:00:00.1Z", "2026-04-31T00:00:00Z"),
    *("2026-11-29T22:59:48.1234567Z", "2026-11-29T22:59:48.123456789Z", "2026-11-29T22:59:60Z", "2026-11-29T24:00:00Z", "2026"),
    *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-11-29T22:59:48.Z", "2026-11-29T22:59:48"),
    *("2026-11-29t22:59:48z", "2026-11-29 22:59:48Z", "2026-11-29T22:59:48+01:00", "2026-11-29T22:59:4/Z", "2026-1-29T22:59:48.1Z"),
    *("2026-10-31T22:59:48Z", "2026-13-01T22:59:48Z", "2026-00-01T22:59:48Z", "2026-01-00T22:59:48Z", "2026-01-01T22:60:48Z", ""),
)
VALUES = (
    *("null", "true", "false", "nul", "nullx", "tru", "truE", '""', '"a"', r'"\""', r'"\u00e9"', r'"\ud800"', '"é"', '"\x00"'),
    *('"\x7f"', '"unclosed', '"\\', '"' + "x" * 41 + '"', "{}", '{"a":true}', '{"a": true, "b":false}', '{"a":true,"a":false}'),
    *('{"a":null}', '{"é":true}', '{"a":true,}', '{"a":true', '{"a"', '{"":true}', "{", "[", "[]", "[1]", '{"a":{"b":1}}', "", " 1"),
    *('[1, "a", {"b": [null, true]}]', '{"a":{"b":[],"c":{}}}', "[1,]", "[,1]", "[1 2]", "[1}", '{"a":1]', '{"a":}', '{"a":1 }', "[ ]"),
    *('["a" ]', "[01]", "[1e5]", "[NaN]", r'["\u00e9"]', '["é"]', '{"a":1,"a":2}', "{1:2}", '{"a" :1}', "[[]", "[]]", "[nul]", "[1"),
    *("[" * depth + "]" * depth for depth in (7, 8, 9, 2_000)),
    *("1 ", "\t1", *NUMBERS),
    *(f'"{time}"' for time in TIMES),
)
MEMBERS = (
    *("", ",", ',"zzz":1', ',"type":"turn.metrics"', ',"llm_ttft_ms":1,"llm_ttft_ms":2', ', "llm_ttft_ms": 5', ',  "llm_ttft_ms":5'),
    *(f',"{UNKNOWN}":{value}' for value in VALUES),
    *(f',"{UNKNOWN}":1,"{UNKNOWN}":2', ',"new_\\u0061":1', f',"llm_ttft_ms":-1,"{UNKNOWN}":true,"pipeline":5'),
    *(
        ' ,"pipeline":"x"',
        ',"pipeline" :"x"',
        ',"pipeline"',
        ',"pipeline":',
        ',"pipeline',
        ',"pipeline":"x",',
        ',"pipeline":"x","pipeline":null',
    ),
)
BYTES = b'",:{}[]\\ \x00\n\t019.-+eEtnZ\x80\xff\xc3'


@pytest.fixture(scope="module")
def compiled() -> ModuleType:
    return load(compiled_copy(), "plain_frames")


def reader(compiled: ModuleType) -> Any:
    return compiled.PlainFrames(TurnMetrics, KEYS, REPEATED, [UNKNOWN], with_flaws)


def check(plain: Any, frame: str | bytes) -> bool:
    """Read a frame and compare with the reference. Returns whether it was read."""
    found = plain.read(frame)
    if found is not None:
        assert type(found) in (TurnMetrics, PartialEvent)
        assert repr(found) == repr(decode(frame))
    return found is not None


def document(event: TurnMetrics) -> dict[str, Any]:
    """The event as JSON has it, its name first."""
    found: dict[str, Any] = msgspec.to_builtins(event)
    return found


forms = st.sampled_from(
    (
        msgspec.json.encode,
        lambda found: msgspec.json.encode(found).decode(),
        json.dumps,
        lambda found: json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"),
    )
)


@st.composite
def turns(draw: st.DrawFn) -> dict[str, Any]:
    """A turn as the platform sends it, with the fields in any order and some of them null or left out."""
    found = document(draw(turn_metrics))
    names = draw(st.permutations(list(found)[1:])) if draw(st.booleans()) else list(found)[1:]
    return {"type": "turn.metrics", **{name: found[name] for name in names}}


def is_plain(found: dict[str, Any]) -> bool:
    """Whether the reader is made for this turn: the names of LLMs are ASCII, and there is one."""
    llms = found.get("llm_availability")
    return llms is None or (bool(llms) and all(name.isascii() and name.isprintable() and not set(name) & set('"\\') for name in llms))


@given(turns=st.lists(turns(), min_size=1, max_size=3), form=forms)
@example(turns=[{"type": "turn.metrics"}], form=msgspec.json.encode)
def test_turns_of_the_platform(compiled: ModuleType, turns: list[dict[str, Any]], form: Any) -> None:
    """Turns as serializers write them are read, with the very same values, whatever came before."""
    plain = reader(compiled)
    for found in turns:
        was_read = check(plain, form(found))
        if list(found)[1:] == [name for name in KEYS if name in found]:
            assert was_read or not is_plain(found)
        if not was_read:
            plain = reader(compiled)


_flaws = st.dictionaries(st.sampled_from([*KEYS, UNKNOWN]), st.sampled_from([-1, -0.5, 10**9, 5, True, "fast", "", None]), max_size=4)


@given(found=turns(), flaws=_flaws, form=forms)
def test_turns_with_flaws(compiled: ModuleType, found: dict[str, Any], flaws: dict[str, Any], form: Any) -> None:
    """Numbers out of range, wrong types and a learned unknown field cost that field alone, and are told as the reference tells them."""
    plain = reader(compiled)
    check(plain, form({**found, **flaws}))
    check(plain, form(found))


_nested = st.recursive(
    st.sampled_from([1, -0.5, "a", "", True, None]), lambda part: st.lists(part) | st.dictionaries(st.just("a"), part)
)
_edits = st.lists(st.tuples(st.integers(0, 2), st.integers(0), st.sampled_from(BYTES)), min_size=1, max_size=3)


@given(found=turns(), unknown=_nested, form=forms, edits=_edits)
def test_damaged_turns(compiled: ModuleType, found: dict[str, Any], unknown: Any, form: Any, edits: list[tuple[int, int, int]]) -> None:
    """Bytes that are added, left out or changed anywhere make a frame that is read as msgspec reads it, or not at all."""
    plain = reader(compiled)
    frame = form({**found, UNKNOWN: unknown})
    content = bytearray(frame if isinstance(frame, bytes) else frame.encode("utf-8", "surrogatepass"))
    for kind, place, byte in edits:
        start = place % (len(content) + 1)
        content[start : start + (kind > 0)] = b"" if kind == 1 else bytes([byte])
    check(plain, bytes(content))
    check(reader(compiled), content.decode("utf-8", "replace"))
    check(reader(compiled), content.decode("utf-8", "surrogateescape"))
    for cut in (1, 2, 5):
        check(reader(compiled), bytes(content[:-cut]))


def test_each_value_in_each_field(compiled: ModuleType) -> None:
    """Every unusual value, in every field and before and behind unusual members, is read as msgspec reads it, or not at all."""
    for key in KEYS:
        for value in VALUES:
            frame = f'{{"type":"turn.metrics","{key}":{value}}}'
            check(reader(compiled), frame)
            check(reader(compiled), frame.encode("utf-8"))
    for members in MEMBERS:
        whole = f'{{"type":"turn.metrics"{members}'
        for frame in (whole, f"{whole}}}", f"{whole}}} ", f"{whole}}}x", f'{whole}, "turn_method": "x"}}'):
            check(reader(compiled), frame)


def test_hostile_frames(compiled: ModuleType) -> None:
    """No hostile frame is read in another way."""
    for frame in [frame for frame, _ in REJECTED.values()] + list(TOLERATED.values()):
        if isinstance(frame, str | bytes):
            check(reader(compiled), frame)


def test_usual_frames_are_read(compiled: ModuleType) -> None:
    """Usual values are read here, and so are common flaws; doubled keys, other events, and objects where none belong are not."""
    plain = reader(compiled)
    usual = ("0", "120000", "1.0", "0.1", "4.35", "1e2", "null", "0.30000000000000004")
    assert all(check(plain, TURN % value) for value in usual)
    assert check(plain, json.dumps({"type": "turn.metrics", "user_text": "„Ja“, bitte.", "llm_availability": {"a": True, "b": False}}))
    assert check(plain, '{"type":"turn.metrics","user_text":"„Ja“","agent_stopped_speaking_at":"2026-11-29T22:59:48.989Z"}')
    for value in ("-1", "120001", "true", '"5"'):
        assert check(plain, TURN % value)
    for value in ("{}", "[]", "[1,2]", '[1, "a", {"b": [null, true]}]', '{"a":{"b":[],"c":{}}}'):
        assert check(plain, f'{{"type":"turn.metrics","{UNKNOWN}":{value},"turn_number":1}}')
    for members in (f'"{UNKNOWN}":null', f'"llm_model":5,"{UNKNOWN}":"a"', '"interrupted":"yes"', '"interrupted":0'):
        assert check(plain, f'{{"type":"turn.metrics",{members}}}')
    assert not check(reader(compiled), TURN % "[]")
    for frame in ('{"type":"turn.metrics","zzz":1}', '{"type":"user.dtmf"}', '{"turn_number":1,"type":"turn.metrics"}', "", b"", "{}"):
        assert not check(reader(compiled), frame)


def test_frames_that_fail_again_and_again(compiled: ModuleType) -> None:
    """Most frames of a platform that sends other ones are not tried, and those of another one are read again, soon."""
    plain = reader(compiled)
    for _ in range(500):
        assert plain.read('{"type":"turn.metrics","zzz":1}') is None
    tried = [plain.read('{"type":"turn.metrics"}') is not None for _ in range(65)]
    assert tried[-1]
    assert not tried[0]


def test_repeated_texts(compiled: ModuleType) -> None:
    """Texts of labels that come again and again are one object; what was said is not kept."""
    plain = reader(compiled)
    frame = '{"type":"turn.metrics","llm_model":"gpt-4o","user_text":"Hello."}'
    first, second = plain.read(frame), plain.read(frame)
    assert first.llm_model is second.llm_model
    assert first.user_text is not second.user_text


def test_an_unfit_type_is_refused(compiled: ModuleType) -> None:
    """A type with other defaults or fields raises an error."""
    with pytest.raises(ValueError, match="no event that can be read here"):
        compiled.PlainFrames(msgspec.defstruct("Other", [("a", float, 1.0)], tag_field="type"), {}, (), (), with_flaws)
    with pytest.raises(ValueError, match="is no field of TurnContribution"):
        compiled.PlainFrames(TurnContribution, KEYS, (), (), with_flaws)
