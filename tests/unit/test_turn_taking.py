"""Who has the floor: callers that wait, dead air, turns judged over too early, barge-in, and calls that end on a bad turn."""

from datetime import UTC, datetime
from typing import Any

import pytest

from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.registry import SessionTimeouts
from tests.support.core import BEGINNING, Connection, Core

WAITING = "agentstack_turns_waiting"
SILENCES = "agentstack_dead_air_total"
SILENT = "agentstack_dead_air_seconds_total"
PREMATURE = "agentstack_premature_end_of_turns_total"
REACTION = "agentstack_barge_in_reaction_seconds"
ENDED = "agentstack_sessions_ended_after_turn_total"


class Talk:
    """A call in which things happen so many seconds after its beginning, by the platform's clock and by ours."""

    def __init__(self, core: Core, *, stamped: bool = True) -> None:
        self.core = core
        self.call: Connection = core.call()
        self._stamped = stamped

    def at(self, seconds: float, event: str, **fields: Any) -> None:
        """Send the event at its moment; time passes second by second until then."""
        while self.core.now < BEGINNING + seconds - 1:
            self.core.let_pass(1)
        self.core.now = BEGINNING + seconds
        if self._stamped:
            fields["timestamp"] = datetime.fromtimestamp(self.core.now, UTC).isoformat()
        self.call.send(event, **fields)

    def asks(self, began: float, stopped: float, *, decided: float = 0.3) -> None:
        """The caller speaks, and the turn is judged over a moment later."""
        self.at(began, "user.state_changed", old_state="listening", new_state="speaking")
        self.at(began, "user.speech_started")
        self.at(stopped, "user.state_changed", old_state="speaking", new_state="listening")
        self.at(stopped, "user.speech_stopped")
        self.at(stopped + decided, "user.turn_completed")
        self.at(stopped + decided, "agent.state_changed", old_state="listening", new_state="thinking")

    def answers(self, began: float) -> None:
        """The caller hears the agent."""
        self.at(began, "agent.state_changed", old_state="thinking", new_state="speaking")
        self.at(began, "agent.speech_started")


@pytest.fixture
def core() -> Core:
    """A core whose slow turns are those above 1.5 s."""
    return Core()


@pytest.fixture(params=[True, False], ids=["stamped", "unstamped"])
def talk(core: Core, request: pytest.FixtureRequest) -> Talk:
    """A call whose events say when they happened, or do not."""
    return Talk(core, stamped=request.param)


def test_a_caller_waits_until_the_agent_is_heard(core: Core, talk: Talk) -> None:
    """A turn judged over waits; the agent's audio ends the wait."""
    talk.asks(1, 3)
    assert core.value(WAITING, agent="support") == 1
    talk.answers(4)
    assert core.value(WAITING) == 0
    assert core.value(SILENCES) == core.value(PREMATURE) == 0


def test_the_turn_said_over_twice_waits_once(core: Core, talk: Talk) -> None:
    """A repeated user.turn_completed neither waits again nor hides how long the caller has waited."""
    talk.asks(1, 3)
    talk.at(5, "user.turn_completed")
    assert core.value(WAITING) == 1
    talk.answers(8)
    assert core.value(SILENT) == pytest.approx(5)


def test_dead_air_is_counted_whole(core: Core, talk: Talk) -> None:
    """A silence above 3 s counts from the end of speech to the agent's audio, however it was counted on the way."""
    talk.asks(1, 3)
    talk.answers(10.5)
    assert core.value(SILENCES) == 1
    assert core.value(SILENT) == pytest.approx(7.5)


def test_three_seconds_are_not_dead_air(core: Core, talk: Talk) -> None:
    """Silence of 3 s is not longer than 3 s."""
    talk.asks(1, 3)
    talk.answers(6)
    assert core.value(SILENCES) == core.value(SILENT) == 0


def test_dead_air_shows_while_it_lasts(core: Core, talk: Talk) -> None:
    """An agent that stopped answering is seen before the call is over."""
    talk.asks(1, 3)
    core.let_pass(10)
    assert core.value(SILENCES) == 1
    assert 8 < core.value(SILENT) <= 10.3


def test_a_wait_without_end_is_given_up(core: Core, talk: Talk) -> None:
    """After two minutes nobody waits any longer, and no more silence is counted."""
    talk.asks(1, 3)
    for _ in range(300):
        core.let_pass(1)
    assert (core.value(WAITING), core.value(SILENT)) == (0, 120)
    talk.at(320, "session.ended")
    assert core.value(ENDED, last_turn="silent") == 1


def test_a_call_that_lost_its_connection_is_not_silent(core: Core, talk: Talk) -> None:
    """Nothing is known of a caller whose connection is away."""
    talk.asks(1, 3)
    talk.call.close()
    core.let_pass(20)
    assert core.value(SILENCES) == 0


@pytest.mark.parametrize(("resumed", "count"), [(3.9, 1), (6.0, 1), (6.2, 0)])
def test_a_caller_cut_short_before_the_answer(core: Core, talk: Talk, resumed: float, count: int) -> None:
    """Who goes on before the agent began was not finished, unless the silence was so long that it was a question."""
    talk.asks(1, 3)
    talk.at(resumed, "user.speech_started")
    talk.at(resumed, "user.state_changed", old_state="listening", new_state="speaking")
    assert core.value(PREMATURE) == count
    assert core.value(WAITING) == 0


@pytest.mark.parametrize(("resumed", "count"), [(4.4, 1), (4.6, 0)])
def test_a_caller_cut_short_by_the_answer(core: Core, talk: Talk, resumed: float, count: int) -> None:
    """Who speaks within half a second of the agent's beginning had not finished; later it is a barge-in."""
    talk.asks(1, 3)
    talk.answers(4)
    talk.at(resumed, "user.speech_started")
    assert core.value(PREMATURE) == count


def test_speaking_over_a_greeting_is_not_premature(core: Core, talk: Talk) -> None:
    """What the agent says of its own accord answers no turn."""
    talk.answers(1)
    talk.at(1.2, "user.speech_started")
    assert core.value(PREMATURE) == core.value(WAITING) == 0


def test_barge_in_reaction(core: Core, talk: Talk) -> None:
    """From the caller's first word over the agent until the agent falls silent."""
    talk.answers(1)
    talk.at(4, "user.speech_started")
    talk.at(4.25, "agent.speech_interrupted")
    assert core.observations(REACTION, agent="support") == 1
    assert core.value(REACTION) == pytest.approx(0.25)


def test_an_interruption_without_speech_has_no_reaction(core: Core, talk: Talk) -> None:
    """Without the caller's speech nothing is measured."""
    talk.answers(1)
    talk.at(4.25, "agent.speech_interrupted")
    assert core.observations(REACTION) == 0


@pytest.mark.parametrize(
    ("answered", "ended", "turn"),
    [(3.9, 5, None), (4.6, 9, "slow"), (None, 4.2, None), (None, 4.8, "slow"), (None, 6.5, "silent"), (9, 12, "slow")],
)
def test_calls_that_end_on_a_bad_turn(core: Core, talk: Talk, answered: float | None, ended: float, turn: str | None) -> None:
    """The last turn was slow if its answer was late or not waited for, silent if the caller heard nothing for 3 s."""
    talk.asks(1, 3)
    if answered:
        talk.answers(answered)
    talk.at(ended, "session.ended", ended_at=datetime.fromtimestamp(BEGINNING + ended, UTC).isoformat())
    assert {series.labels: series.value for series in core.series(ENDED)} == ({("support", turn): 1} if turn else {})
    assert core.value(WAITING) == 0


@pytest.mark.parametrize("stopped", [3.001, 3.004, 3.008])
def test_a_wait_as_long_as_allowed_is_not_slow(core: Core, stopped: float) -> None:
    """A limit that is just reached is kept, whatever the difference of two large numbers makes of it."""
    core.pipeline = Pipeline(LabelLimits(), SessionTimeouts(), core, core.now, slow_turn=1.2)
    talk = Talk(core)
    talk.asks(1, stopped)
    talk.answers(stopped + 1.2)
    talk.at(9, "session.ended")
    assert core.value(ENDED) == 0


def test_a_caller_who_asked_twice_in_vain(core: Core, talk: Talk) -> None:
    """Silence before the caller's last words counts too: the agent has not been heard since."""
    talk.asks(1, 3)
    talk.asks(8, 9)
    talk.at(10, "session.ended", ended_at=datetime.fromtimestamp(BEGINNING + 10, UTC).isoformat())
    assert core.value(ENDED, last_turn="silent") == 1
    assert core.value(SILENCES) == 1
    assert core.value(SILENT) == pytest.approx(5)


def test_a_slow_turn_is_forgotten_by_the_next(core: Core, talk: Talk) -> None:
    """A call does not end badly for a turn before its last."""
    talk.asks(1, 3)
    talk.answers(5)
    talk.asks(8, 9)
    talk.answers(10)
    talk.at(12, "session.ended")
    assert core.value(ENDED) == 0


def test_our_own_stop_is_no_hang_up(core: Core, talk: Talk) -> None:
    """When the exporter stops, no caller has left."""
    talk.asks(1, 3)
    core.let_pass(5)
    core.pipeline.close(core.now)
    assert core.value(ENDED) == core.value(WAITING) == 0


def test_a_dropped_call_ends_on_its_turn(core: Core, talk: Talk) -> None:
    """A call that never comes back ended when it was last heard of."""
    talk.asks(1, 3)
    talk.answers(7)
    talk.call.close()
    core.let_pass(40)
    assert core.value(ENDED, last_turn="slow") == 1


def test_machines_are_kept_out(core: Core, talk: Talk) -> None:
    """What a machine waits for is nobody's wait, before the verdict was known too."""
    talk.asks(1, 3)
    talk.at(3.5, "voicemail.detected", result="machine")
    assert core.value(WAITING) == 0
    talk.asks(5, 6)
    core.let_pass(10)
    talk.at(30, "session.ended")
    assert core.value(SILENCES) == core.value(ENDED) == core.value(WAITING) == 0


def test_servers_that_do_not_tell_of_the_agent(core: Core, talk: Talk) -> None:
    """Of a server that never tells when the agent speaks, nothing is silence."""
    talk.at(1, "user.speech_started")
    talk.at(3, "user.speech_stopped")
    talk.at(3.3, "user.turn_completed")
    core.let_pass(20)
    talk.at(30, "session.ended")
    assert core.value(WAITING) == core.value(SILENCES) == core.value(ENDED) == 0


def test_events_in_another_order(core: Core) -> None:
    """An answer that is told before the turn it answers leaves nobody waiting."""
    talk = Talk(core)
    stamp = {seconds: datetime.fromtimestamp(BEGINNING + seconds, UTC).isoformat() for seconds in (1, 3, 4)}
    for event, seconds in (("user.speech_started", 1), ("user.speech_stopped", 3), ("agent.speech_started", 4)):
        talk.call.send(event, timestamp=stamp[seconds])
    talk.call.send("user.turn_completed", timestamp=stamp[3])
    assert core.value(WAITING) == core.value(PREMATURE) == 0


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_wrong_clock_is_no_silence(core: Core, stamp: str) -> None:
    """A silence of years is not counted, not even in part."""
    talk = Talk(core)
    talk.asks(1, 3)
    talk.call.send("agent.speech_started", timestamp=stamp)
    assert core.value(SILENT) == 0


def test_replays_count_by_their_own_clock(core: Core) -> None:
    """Events received all at once have the silences that their time stamps say."""
    call = core.call()
    story = {1: "user.speech_started", 3: "user.speech_stopped", 3.3: "user.turn_completed", 9: "agent.speech_started"}
    call.send("agent.state_changed", new_state="listening")
    for seconds, event in story.items():
        call.send(event, timestamp=datetime.fromtimestamp(BEGINNING + seconds, UTC).isoformat())
    assert core.value(SILENT) == pytest.approx(6)
