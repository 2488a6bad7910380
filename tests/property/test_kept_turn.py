"""A turn comes back from its packed form as it was, without what is left out."""

import struct
from collections.abc import Callable, Collection
from datetime import datetime

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.events.turn_metrics import TurnMetrics
from exporter.sessions.kept_turn import OUTLINE, KeptTurn, Pack, plain_packer, turn_packer, unpacked, unpacked_outline
from exporter.tracing.turn_spans import TURN, WrittenTurn
from tests.support.turn_events import turn_metrics

SPOKEN = ("user_text", "agent_text")
floats = st.floats(allow_nan=False)
whole = st.integers(-(2**63), 2**63 - 1)
stages = st.sets(st.integers(0, TURN - 1)).map(sorted)
written = st.none() | st.builds(
    WrittenTurn, start=st.just(0), end=st.just(0), tools_outside=st.just([]), earliest=whole, lag=whole, present=stages
)


@given(turn_metrics, floats, written)
@example(TurnMetrics(user_text="x" * 5_000, agent_text="é" * 5_000, llm_model="m" * 5_000), 1.0, None)
@example(TurnMetrics(), 1.8e9, WrittenTurn(0, 0, [], 0, -(2**63), []))
@example(TurnMetrics(), 1.8e9, WrittenTurn(0, 0, [], 2**63 - 1, 0, [0, 1, 2, 3, 4, 5, 6]))
def test_a_turn_comes_back(event: TurnMetrics, received: float, spans: WrittenTurn | None) -> None:
    """Every value is equal and of the same type, but for the texts that are left out."""
    for left_out in ((), SPOKEN):
        expected = msgspec.structs.replace(event, **dict.fromkeys(left_out))
        known = () if spans is None else (spans.earliest, spans.lag, tuple(spans.present))
        assert repr(unpacked(turn_packer(left_out)(event, received, spans))) == repr(KeptTurn(expected, received, *known))


@given(turn_metrics, st.sampled_from([turn_packer, plain_packer]))
@example(TurnMetrics(), turn_packer)
def test_its_outline(event: TurnMetrics, packer: Callable[[Collection[str]], Pack]) -> None:
    """Some fields can be read without the others, and are what they were."""
    expected = TurnMetrics(**{name: getattr(event, name) for name in OUTLINE})
    assert repr(unpacked_outline(packer(SPOKEN)(event, 1.0, None))) == repr(expected)


@pytest.mark.parametrize("packer", [turn_packer, plain_packer])
@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_without_a_year_is_left_out(packer: Callable[[Collection[str]], Pack], stamp: str) -> None:
    """A time that lies in no year of UTC costs nothing but itself."""
    event = TurnMetrics(turn_number=1, user_started_speaking_at=datetime.fromisoformat(stamp), llm_model="m")
    expected = msgspec.structs.replace(event, user_started_speaking_at=None)
    assert unpacked(packer(())(event, 1.0, None)).event == expected


def test_other_bytes_are_refused() -> None:
    """What was not packed raises an error."""
    with pytest.raises(msgspec.DecodeError):
        unpacked(plain_packer(())(TurnMetrics(), 1.0, None)[:-1])
    with pytest.raises(struct.error):
        unpacked(b"\x93\xc0")
