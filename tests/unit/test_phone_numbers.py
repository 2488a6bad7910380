"""The caller and callee of a session reach no label, in whatever format and field they come; other numbers stay apart."""

import pytest

from exporter.metrics.label_limits import LabelLimits
from exporter.metrics.phone_numbers import MASKED, CallNumbers, mentions, number_of
from tests.support.core import Core

CALLERS = ("+14155550123", "sip:+14155550123@example.com:5060;transport=tls", "tel:+1-415-555-0123", "14155550123")
FORMATS = (
    "+14155550123",
    "14155550123",
    "4155550123",
    "0014155550123",
    "+1 (415) 555-0123",
    "415.555.0123",
    "415\u00a0555\u00a00123",
    "415\u2011555\u20110123",
    "1_415_555_0123",
    "sip:+14155550123@example.com",
    "14155550123@example.com",
    "agent_14155550123",
    "agent-4155550123-b",
    "agent 7: 14155550123",
    "deadbeef14155550123c",
    "".join(chr(0xFF10 + int(digit)) for digit in "14155550123"),
)
DIGITS = ("14155550123", "4155550123")


def shown_values(core: Core) -> set[str]:
    """All label values of all metrics."""
    return {value for family in core.pipeline.snapshot(core.now).families for series in family.series for value in series.labels}


def digits(text: str) -> str:
    """The digits of a text, as 0 to 9."""
    return "".join(str(int(char)) for char in text if char.isdecimal())


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("text", FORMATS)
@pytest.mark.parametrize("role", ["caller", "callee"])
def test_no_caller_or_callee_reaches_a_label(caller: str, text: str, role: str) -> None:
    """An agent, model, tool, error or event that is named after the caller or callee is masked, and each masking is counted."""
    core = Core()
    call = core.connect()
    call.send("session.started", agent_session_id="as-1", agent_id=text, **{role: caller})
    call.turn(1, llm_provider=text, llm_model=f"ft:gpt-4o:{text}", llm_ttft_ms=300, tts_provider="x", tts_model=text, tts_ttfb_ms=90)
    call.turn(2, pipeline=text, user_perceived_ms=900)
    call.send("session.error", code=text, message=text)
    call.send("tool.called", name=f"transfer_{text}", id="t")
    call.send(f"custom.{text}")
    call.send("session.ended", reason=text)
    shown = {digits(value) for value in shown_values(core)}
    assert not [value for value in shown if any(number in value for number in DIGITS)]
    for label in ("agent", "model", "code", "tool"):
        assert core.value("agentstack_exporter_label_masked_total", label=label) > 0, label


def test_numeric_agents_stay_apart() -> None:
    """Agents named by bare digits have series of their own, also where another call's caller has the same digits."""
    core = Core()
    agents = ("9876543210", "9876543211", "507f191e810c19729de860ea", "1234567")
    for number, agent in enumerate(agents):
        core.connect().send("session.started", agent_session_id=f"as-{number}", agent_id=agent, caller=f"+1987654321{1 - number % 2}")
    assert {series.labels[0] for series in core.series("agentstack_sessions_total")} == set(agents)
    assert core.value("agentstack_exporter_label_masked_total") == 0


def test_a_number_that_comes_later_masks_the_agent() -> None:
    """A second start event that names the caller changes the label of a session whose agent is the same."""
    core = Core()
    call = core.connect()
    call.send("session.started", agent_session_id="as-1", agent_id="14155550123")
    call.send("session.started", agent_session_id="as-1", agent_id="14155550123", caller="+14155550123")
    assert core.value("agentstack_sessions_active", agent=MASKED) == 1
    assert core.value("agentstack_sessions_active", agent="14155550123") == 0


def test_an_allowed_agent_is_shown() -> None:
    """The operator's list comes before masking."""
    core = Core(limits=LabelLimits(allow={"agent": frozenset({"+14155550123"})}))
    core.connect().send("session.started", agent_session_id="as-1", agent_id="+14155550123")
    assert core.value("agentstack_sessions_active", agent="+14155550123") == 1


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("+1 (415) 555-0100", "14155550100"),
        ("sip:1001@10.0.0.1:5060", "1001"),
        ("tel:+14155550100;ext=12", "14155550100"),
        ("sip:alice@example.com", ""),
        ("anonymous", ""),
        (None, ""),
    ],
)
def test_the_number_of_an_address(address: str | None, number: str) -> None:
    """Digits of the user's part, without those of a host or a parameter."""
    assert number_of(address) == number


def test_a_short_number_is_compared_as_a_whole() -> None:
    """An extension masks the agent that is named like it, and no other."""
    assert mentions("1001", "1001")
    assert not mentions("10010", "1001")
    assert not mentions("agent 1001", "1001")


def test_numbers_of_calls_are_forgotten_in_order() -> None:
    """The memory is bounded, and an ending is forgotten with the last number that has it."""
    numbers = CallNumbers()
    for number in range(4_098):
        numbers.add(f"1{number:010d}")
    assert not numbers.are_in("x-10000000000")
    assert not numbers.are_in("x-10000000001")
    assert numbers.are_in("x-10000000002")
    assert numbers.are_in("x-0000004097")
