"""Sessions: what names them, when they begin, come back and end, and that each counts once."""

from typing import Any

import pytest

from exporter.metrics.label_limits import LabelLimits
from exporter.sessions.registry import MOST_UNFINISHED, SessionTimeouts
from tests.support.core import Connection, Core

STARTED = "agentstack_sessions_total"
ACTIVE = "agentstack_sessions_active"
ENDED = "agentstack_sessions_ended_total"
RESUMED = "agentstack_session_resumptions_total"
CONFLICTS = "agentstack_session_conflicts_total"
LATENCY = "agentstack_user_perceived_latency_seconds"


def counts(core: Core) -> tuple[float, float, float]:
    """Sessions started, going on and ended."""
    return core.value(STARTED), core.value(ACTIVE), core.value(ENDED)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"agent_session_id": "as", "call_id": "call"}, "as"),
        ({"agent_session_id": "", "call_id": "call"}, "call"),
        ({"call_id": "call"}, "call"),
    ],
)
def test_session_started_names_the_session(fields: dict[str, str], name: str) -> None:
    """A managed call is named by its agent_session_id, else by its call_id."""
    connection = Core().connect()
    connection.send("session.started", **fields)
    assert connection.session.id == name


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"streamId": "outer", "start": {"callId": "call", "streamId": "inner"}}, "call"),
        ({"streamId": "outer", "start": {"streamId": "inner"}}, "inner"),
        ({"streamId": "outer"}, "outer"),
    ],
)
def test_an_audio_stream_is_named_by_its_call_or_itself(fields: dict[str, Any], name: str) -> None:
    """An audio stream is named by its call_id, else by its stream_id, wherever that stands."""
    connection = Core().connect()
    connection.stream("start", **fields)
    assert connection.session.id == name


def test_sessions_without_a_name_are_told_apart() -> None:
    """Two connections that never say who they are count as two sessions."""
    core = Core()
    first, second = core.connect(), core.connect()
    first.send("user.dtmf")
    second.send("session.started")
    assert first.session.id != second.session.id
    assert counts(core) == (2, 2, 0)


def test_a_late_start_names_the_session() -> None:
    """A session.started after other events gives name and agent to the session that is there, and moves it on the gauge."""
    core = Core()
    connection = core.connect()
    connection.turn()
    assert core.value(ACTIVE, agent="unknown") == 1
    assert connection.send("session.started", agent_session_id="as-1", agent_id="sales")
    assert connection.session.id == "as-1"
    assert counts(core) == (1, 1, 0)
    assert core.value(ACTIVE, agent="sales") == 1
    assert core.value(ACTIVE, agent="unknown") == 0


def test_a_better_name_is_taken() -> None:
    """A call known by its call_id goes on under its agent_session_id once that is known."""
    core = Core()
    connection = core.connect()
    connection.send("session.started", call_id="call-1")
    connection.send("session.started", agent_session_id="as-1", call_id="call-1")
    assert connection.session.id == "as-1"
    assert counts(core) == (1, 1, 0)


def test_a_late_start_of_a_known_session_joins_it() -> None:
    """A connection that comes back nameless and then names a session that is waiting joins it; none is lost."""
    core = Core()
    first = core.call()
    known = first.session
    first.close()
    second = core.connect()
    second.turn()
    second.send("session.started", agent_session_id="as-1")
    assert second.session is known
    assert counts(core) == (2, 1, 1)
    second.close()
    core.let_pass(31)
    assert counts(core) == (2, 0, 2)
    assert len(core.pipeline.sessions) == 0


def test_the_same_start_again_counts_once() -> None:
    """A repeated session.started is neither another session nor another audio format, even without ids."""
    core = Core()
    connection = core.call(audio_format="pcm")
    connection.send("session.started", agent_session_id="as-1", agent_id="support", audio_format="pcm")
    connection.send("session.started")
    assert counts(core) == (1, 1, 0)
    assert core.value("agentstack_session_audio_formats_total") == 1
    assert core.value(RESUMED) == 0


def test_another_start_supersedes() -> None:
    """Another call's session.started on the same connection ends the first call as superseded."""
    core = Core()
    connection = core.call("as-1")
    connection.send("session.started", agent_session_id="as-2", agent_id="support")
    assert connection.session.id == "as-2"
    assert counts(core) == (2, 1, 1)
    assert core.value(ENDED, reason="superseded") == 1
    assert len(core.pipeline.sessions) == 1


def test_a_call_with_another_connection_is_not_superseded() -> None:
    """A call that is still served by another connection goes on when one of them turns to another call."""
    core = Core()
    core.call("as-1")
    second = core.call("as-1")
    second.send("session.started", agent_session_id="as-2")
    assert counts(core) == (2, 2, 0)


def test_session_ended_ends_and_late_metrics_count() -> None:
    """After session.ended the session no longer counts as going on, yet turn.metrics that follow are recorded."""
    core = Core()
    connection = core.call()
    connection.send("session.ended", reason="user_hangup", duration_seconds=12)
    assert connection.feed.ended
    assert counts(core) == (1, 0, 1)
    connection.turn(user_perceived_ms=900)
    assert core.observations(LATENCY) == 1
    assert core.value(ENDED, reason="user_hangup", agent="support") == 1
    connection.close()
    assert len(core.pipeline.sessions) == 0


def test_session_ended_counts_once() -> None:
    """A second session.ended changes nothing but the count of frames ignored."""
    core = Core()
    connection = core.call()
    for _ in range(2):
        connection.send("session.ended", duration_seconds=12, turn_count=3, stt_duration=5)
    assert counts(core) == (1, 0, 1)
    assert core.value("agentstack_session_duration_seconds") == 12
    assert core.value("agentstack_session_turns") == 3
    assert core.value("agentstack_session_stt_duration_seconds_total") == 5
    assert core.value("agentstack_exporter_frames_total", outcome="ignored") == 1


def test_duration_without_the_platforms_word() -> None:
    """A session whose end brings no duration lasted from its first event to its last."""
    core = Core()
    connection = core.call()
    core.let_pass(20)
    connection.turn()
    core.let_pass(5)
    connection.close()
    core.let_pass(31)
    assert core.value("agentstack_session_duration_seconds") == 20


def test_a_lost_connection_ends_after_the_wait() -> None:
    """A session whose connection is gone goes on for 30 s, then it has ended as disconnected."""
    core = Core()
    core.call().close()
    core.let_pass(29)
    assert counts(core) == (1, 1, 0)
    core.let_pass(1)
    assert counts(core) == (1, 0, 1)
    assert core.value(ENDED, reason="disconnected") == 1
    assert len(core.pipeline.sessions) == 0


def test_a_session_comes_back() -> None:
    """The same session on a new connection within 30 s is no new session, and keeps what it knew."""
    core = Core()
    first = core.call()
    first.turn(1, user_perceived_ms=900)
    first.close()
    core.let_pass(20)
    second = core.call()
    second.turn(1, user_perceived_ms=900)
    assert counts(core) == (1, 1, 0)
    assert core.value(RESUMED) == 1
    assert core.observations(LATENCY) == 1


@pytest.mark.parametrize(
    ("agent", "call", "others"),
    [
        ("sales", None, {"call_id": "c-1"}),
        ("support", "c-2", {"call_id": "c-1"}),
        ("sales", "c-2", {"call_id": "c-1"}),
        ("sales", None, {}),
    ],
)
def test_another_call_does_not_take_a_session_over(agent: str, call: str | None, others: dict[str, Any]) -> None:
    """A connection that names a live session with another agent or call id is a call of its own, with turns and an end of its own."""
    core = Core()
    first = core.call("as-1", **others)
    fields: dict[str, Any] = {"call_id": call} if call else {}
    second = core.call("as-1", agent=agent, **fields)
    assert second.session is not first.session
    assert counts(core) == (2, 2, 0)
    assert core.value(CONFLICTS, agent=agent) == 1
    assert core.value(RESUMED) == 0
    first.turn(1, user_perceived_ms=900)
    second.turn(1, user_perceived_ms=900)
    assert core.observations(LATENCY, agent="support") == (2 if agent == "support" else 1)
    second.send("session.ended", reason="user_hangup")
    assert counts(core) == (2, 1, 1)
    assert core.value(ENDED, agent=agent, reason="user_hangup") == 1
    first.send("session.ended", reason="timeout")
    assert counts(core) == (2, 0, 2)
    assert first.session.trace_id != second.session.trace_id


def test_both_calls_of_a_conflict_come_back() -> None:
    """Each connection that comes back finds its own call, whichever of the two is still there."""
    core = Core()
    first, second = core.call("as-1", call_id="c-1"), core.call("as-1", agent="sales", call_id="c-2")
    sessions = [first.session, second.session]
    first.close()
    second.close()
    core.let_pass(5)
    second, first = core.call("as-1", agent="sales", call_id="c-2"), core.call("as-1", call_id="c-1")
    assert [first.session, second.session] == sessions
    second.send("session.started", agent_session_id="as-1", agent_id="sales", call_id="c-2")
    assert second.session is sessions[1]
    first.send("session.ended")
    first.close()
    second.close()
    core.let_pass(5)
    assert core.call("as-1", agent="sales", call_id="c-2").session is sessions[1]
    assert core.value(CONFLICTS) == 1
    assert counts(core) == (2, 1, 1)


def test_an_earlier_loss_does_not_shorten_the_wait() -> None:
    """A session that came back and was lost again has 30 s from the last time it was lost."""
    core = Core()
    core.call().close()
    core.let_pass(20)
    core.call().close()
    core.let_pass(15)
    assert counts(core) == (1, 1, 0)
    core.let_pass(15)
    assert counts(core) == (1, 0, 1)


def test_it_comes_back_before_the_old_connection_is_gone() -> None:
    """A new connection may arrive while the old one hangs; the session goes on until both are gone."""
    core = Core()
    old, new = core.call(), core.call()
    old.close()
    core.let_pass(60)
    assert counts(core) == (1, 1, 0)
    new.close()
    core.let_pass(30)
    assert counts(core) == (1, 0, 1)


def test_a_hanging_connection_outlives_the_end() -> None:
    """A session that ended is forgotten when its last connection goes, and another of its name lives on."""
    core = Core()
    hanging, ending = core.call(), core.call()
    ending.send("session.ended")
    ending.close()
    again = core.call()
    hanging.close()
    assert counts(core) == (2, 1, 1)
    session = again.session
    again.close()
    assert core.call().session is session
    assert len(core.pipeline.sessions) == 1


def test_a_session_that_ended_begins_anew() -> None:
    """The same name after session.ended or after the wait is another session."""
    core = Core()
    connection = core.call()
    connection.send("session.ended")
    connection.send("session.started", agent_session_id="as-1", agent_id="support")
    assert counts(core) == (2, 1, 1)
    connection.close()
    core.let_pass(30)
    core.call()
    assert counts(core) == (3, 1, 2)
    assert core.value(RESUMED) == 0


def test_learning_the_agent_when_coming_back() -> None:
    """An agent first named by the new connection's session.started moves the session on the gauge."""
    core = Core()
    first = core.connect()
    first.send("session.started", agent_session_id="as-1")
    first.close()
    second = core.call("as-1", agent="sales")
    assert core.value(ACTIVE, agent="sales") == 1
    assert core.value(ACTIVE, agent="unknown") == 0
    second.send("session.ended")
    assert core.value(ACTIVE) == 0
    assert core.value(ENDED, agent="sales") == 1


def test_metrics_carry_the_agent_the_session_counts_under() -> None:
    """An agent that found no room is _other in all metrics of its session, even when room appears meanwhile."""
    core = Core(LabelLimits(agents=1, idle=10))
    early = core.call("as-1", "first")
    late = core.call("as-2", "second")
    early.send("session.ended")
    early.close()
    core.let_pass(3600)
    late.turn(user_perceived_ms=700)
    assert core.observations(LATENCY, agent="_other") == 1
    assert core.value(ACTIVE, agent="_other") == 1


def test_an_audio_stream_ends_when_it_stops() -> None:
    """start begins and stop ends the session of an audio stream, once."""
    core = Core()
    connection = core.connect()
    connection.stream("start", start={"callId": "call-1"})
    assert counts(core) == (1, 1, 0)
    connection.stream("stop")
    connection.stream("stop")
    assert counts(core) == (1, 0, 1)
    assert core.value(ENDED, reason="stopped") == 1
    assert connection.feed.ended


def test_a_silent_session_ends_as_idle() -> None:
    """A session that says nothing for longer than the idle timeout has ended, while its connection is left alone."""
    core = Core(waits=SessionTimeouts(idle=600))
    connection = core.call()
    core.let_pass(590)
    connection.turn()
    core.let_pass(590)
    assert counts(core) == (1, 1, 0)
    core.let_pass(70)
    assert counts(core) == (1, 0, 1)
    assert core.value(ENDED, reason="idle") == 1
    assert not connection.feed.ended
    connection.close()
    assert len(core.pipeline.sessions) == 0


@pytest.mark.parametrize("again", ["turn", "start", "connection"])
def test_a_silent_session_speaks_again(again: str) -> None:
    """A session that had ended as idle and is heard of again goes on as another one, and remembers its turns."""
    core = Core(waits=SessionTimeouts(idle=600))
    connection = core.call()
    connection.turn(1)
    core.let_pass(700)
    if again == "start":
        connection.send("session.started", agent_session_id="as-1")
    elif again == "connection":
        connection = core.call()
    connection.turn(1)
    assert counts(core) == (2, 1, 1)
    assert core.value("agentstack_turns_total") == 1
    connection.send("session.ended")
    assert counts(core) == (2, 0, 2)


def test_the_end_of_a_silent_session() -> None:
    """session.ended of a session that had ended as idle does not end it twice, nor measure its duration twice."""
    core = Core(waits=SessionTimeouts(idle=600))
    connection = core.call()
    core.let_pass(700)
    connection.send("session.ended", duration_seconds=700, turn_count=4)
    assert counts(core) == (1, 0, 1)
    assert core.observations("agentstack_session_duration_seconds") == 1
    assert core.observations("agentstack_session_turns") == 1
    assert connection.feed.ended


def test_the_platform_may_call_any_reason_its_own() -> None:
    """A session that the platform ended as idle is over and does not go on."""
    core = Core()
    connection = core.call()
    connection.send("session.ended", reason="idle")
    connection.turn()
    assert counts(core) == (1, 0, 1)


def test_shutdown_ends_all() -> None:
    """When the process stops, sessions with and without a connection end as shutdown."""
    core = Core()
    core.call("as-1")
    core.call("as-2").close()
    core.pipeline.close(core.now)
    assert counts(core) == (2, 0, 2)
    assert core.value(ENDED, reason="shutdown") == 2


def test_coming_back_a_thousand_times() -> None:
    """A session that comes back again and again leaves nothing behind."""
    core = Core()
    for _ in range(1_000):
        core.call().close()
        core.let_pass(0.01)
    assert len(core.pipeline.sessions) == 1
    assert len(core.pipeline.sessions._disconnected) == 1
    assert counts(core) == (1, 1, 0)
    core.let_pass(30)
    assert counts(core) == (1, 0, 1)
    assert not core.pipeline.sessions._disconnected


def test_sessions_cut_off_are_remembered_within_bounds() -> None:
    """Of sessions that were cut off only the latest names are kept, and of those that ended none."""
    core = Core()
    for number in range(MOST_UNFINISHED + 10):
        core.call(f"as-{number}").close()
    ended = core.call("ended")
    ended.send("session.ended")
    ended.close()
    core.let_pass(31)
    assert list(core.pipeline.sessions._unfinished) == [f"as-{number}" for number in range(10, MOST_UNFINISHED + 10)]
    assert len(core.pipeline.sessions) == 0


def test_long_names_are_not_kept() -> None:
    """Ids and agents of hostile length are remembered by little, and still tell sessions apart."""
    core = Core()
    one, other = core.call("x" * 20_000 + "1", "a" * 20_000), core.call("x" * 20_000 + "2", "a" * 20_000)
    assert one.session is not other.session
    assert len(one.session.id) < 200
    assert one.session.agent is not None
    assert one.session.agent.startswith("aaa")
    assert len(one.session.agent) < 200
    assert core.call("x" * 20_000 + "1", "a" * 20_000).session is one.session


def idle_session() -> Connection:
    """A call that has had one whole turn."""
    connection = Core().call()
    connection.completed(1)
    connection.turn(1)
    return connection


def test_an_idle_session_holds_little() -> None:
    """Between turns a session holds no collection but the turns it has seen."""
    session = idle_session().session
    held = [name for name in session.__slots__ if isinstance(getattr(session, name), dict)]
    assert held == ["turns"]
