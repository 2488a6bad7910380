"""How long users and agents spend in each state."""

from datetime import UTC, datetime

import pytest

from tests.support.core import BEGINNING, Connection, Core

STATES = "agentstack_state_duration_seconds_total"


@pytest.fixture
def core() -> Core:
    """A core with default limits and waits."""
    return Core()


@pytest.fixture
def call(core: Core) -> Connection:
    """A call that has begun."""
    return core.call()


def at(seconds: float) -> str:
    """A timestamp so many seconds after the beginning of the test."""
    return datetime.fromtimestamp(BEGINNING + seconds, UTC).isoformat()


def test_states_last_from_timestamp_to_timestamp(core: Core, call: Connection) -> None:
    """A state lasts from its own timestamp to that of the next, whenever they are received."""
    call.send("user.state_changed", new_state="speaking", timestamp=at(1))
    call.send("agent.state_changed", new_state="listening", timestamp=at(1))
    call.send("user.state_changed", new_state="listening", timestamp=at(3.5))
    call.send("agent.state_changed", new_state="thinking", timestamp=at(4))
    assert core.value(STATES, participant="user", state="speaking", agent="support") == 2.5
    assert core.value(STATES, participant="agent", state="listening") == 3
    assert core.value(STATES) == 5.5


def test_states_without_timestamps_last_from_receipt_to_receipt(core: Core, call: Connection) -> None:
    """Where the platform gives no time, the time of receipt counts."""
    call.send("agent.state_changed", new_state="thinking")
    core.let_pass(2)
    call.send("agent.state_changed", new_state="speaking")
    assert core.value(STATES, state="thinking") == 2


def test_the_first_state_began_with_the_session(core: Core, call: Connection) -> None:
    """The state that the first change ends has lasted since the session's start, if that was seen."""
    core.let_pass(3)
    call.send("agent.state_changed", old_state="idle", new_state="speaking")
    nameless = core.connect()
    nameless.send("user.dtmf")
    core.let_pass(3)
    nameless.send("agent.state_changed", old_state="idle", new_state="speaking")
    assert core.value(STATES, state="idle") == 3


def test_states_out_of_order(core: Core, call: Connection) -> None:
    """A change that arrives after a later one does not count time twice."""
    call.send("user.state_changed", new_state="speaking", timestamp=at(10))
    call.send("user.state_changed", new_state="away", timestamp=at(5))
    call.send("user.state_changed", new_state="listening", timestamp=at(20))
    assert core.value(STATES) == core.value(STATES, state="speaking") == 10


def test_a_clock_that_is_set_back(core: Core, call: Connection) -> None:
    """After the platform's clock was set back, states are measured by the new time."""
    call.send("user.state_changed", new_state="speaking", timestamp=at(3_600))
    call.send("user.state_changed", new_state="listening", timestamp=at(5))
    call.send("user.state_changed", new_state="away", timestamp=at(7))
    assert core.value(STATES) == core.value(STATES, state="listening") == 2


def test_a_state_of_days_is_a_wrong_clock(core: Core, call: Connection) -> None:
    """A state that would have lasted longer than a day is not counted."""
    call.send("user.state_changed", new_state="speaking", timestamp=at(0))
    call.send("user.state_changed", new_state="listening", timestamp=at(100_000))
    assert core.value(STATES) == 0


def test_unknown_states_are_other(core: Core, call: Connection) -> None:
    """A state that the protocol does not know counts as other, a missing one as unknown, a participant's own only for it."""
    for seconds, state in enumerate(["humming", "thinking", None, "away"]):
        call.send("user.state_changed", new_state=state, timestamp=at(seconds))
    assert core.value(STATES, state="other") == 2
    assert core.value(STATES, state="unknown") == 1


def test_the_last_states_end_with_the_session(core: Core, call: Connection) -> None:
    """The states a session ends in lasted to its end, or to its last event where its connection was lost."""
    call.send("user.state_changed", new_state="listening", timestamp=at(-100))
    core.let_pass(4)
    call.send("session.ended")
    assert core.value(STATES, state="listening") == 4
    lost = core.call("as-2")
    lost.send("user.state_changed", new_state="away")
    core.let_pass(5)
    lost.turn(1)
    core.let_pass(6)
    lost.close()
    core.let_pass(31)
    assert core.value(STATES, state="away") == 5
