"""A turn comes back from its packed form as it was, without what is left out."""

import msgspec
import pytest
from hypothesis import example, given

from exporter.events.turn_metrics import TurnMetrics
from exporter.sessions.packed_turn import turn_packer, unpacked
from tests.support.turn_events import turn_metrics

SPOKEN = ("user_text", "agent_text")


@given(turn_metrics)
@example(TurnMetrics(user_text="x" * 5_000, agent_text="é" * 5_000, llm_model="m" * 5_000))
@example(TurnMetrics())
def test_a_turn_comes_back(event: TurnMetrics) -> None:
    """Every value is equal and of the same type, but for the texts that are left out."""
    for left_out in ((), SPOKEN):
        expected = msgspec.structs.replace(event, **dict.fromkeys(left_out))
        assert repr(unpacked(turn_packer(left_out)(event))) == repr(expected)


def test_other_bytes_are_refused() -> None:
    """What was not packed raises an error."""
    with pytest.raises(msgspec.DecodeError):
        unpacked(b"\x93\xc0")
