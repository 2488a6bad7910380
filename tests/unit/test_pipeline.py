"""Frames through the core: each ends as one thing, unknown names are counted, and lag is told from clock skew."""

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from exporter.daemon.ticker import Ticker
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.call_feed import CallFeed
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.registry import SessionTimeouts
from tests.support.core import BEGINNING, Connection, Core

FRAMES = "agentstack_exporter_frames_total"
LAG = "agentstack_exporter_event_lag_seconds"
SKEW = "agentstack_exporter_clock_skew_seconds"


@pytest.fixture
def core() -> Core:
    """A core with default limits and waits."""
    return Core()


@pytest.fixture
def call(core: Core) -> Connection:
    """A call that has begun."""
    return core.call()


def lagging(connection: Connection, core: Core, lag: float) -> None:
    """Send an event that took ``lag`` seconds to arrive."""
    connection.send("agent.speech_started", timestamp=datetime.fromtimestamp(core.now - lag, UTC).isoformat())


def test_every_frame_becomes_one_thing(core: Core, call: Connection) -> None:
    """Frames received are those processed, ignored and rejected, and those rejected are their reasons."""
    frames: list[str | bytes] = ["", "{", "[]", "{}", '{"type": 5}', b"\xff", '{"type":NaN}', "x" * 70_000, "{" * 5_000]
    frames += ['{"type":"play.completed"}', b'{"type":"play.completed"}', '{"type":"never.heard.of"}', '{"event":"media"}']
    for frame in frames:
        call.feed.consume(frame, core.now)
    assert core.value("agentstack_exporter_frames_received_total") == len(frames) + 1
    assert core.value(FRAMES) == len(frames) + 1
    assert core.value(FRAMES, outcome="processed") == 4
    assert core.value(FRAMES, outcome="ignored") == 1
    assert core.value(FRAMES, outcome="rejected") == 9
    assert core.value("agentstack_exporter_frames_rejected_total") == 9
    assert core.value("agentstack_exporter_events_total") == 4


def test_a_fault_of_ours_costs_one_frame() -> None:
    """A frame that meets an error of the exporter is rejected as internal_error and reported, and the next is taken in."""

    class Heard(NoDiagnostics):
        errors: tuple[Exception, ...] = ()

        def internal_error(self, error: Exception) -> None:
            self.errors = (*self.errors, error)

    heard = Heard()
    pipeline = Pipeline(LabelLimits(), SessionTimeouts(), heard, BEGINNING)
    feed = CallFeed(pipeline)
    feed.consume(None, BEGINNING)  # type: ignore[arg-type]
    feed.consume('{"type":"play.completed"}', BEGINNING)
    assert [type(error) for error in heard.errors] == [TypeError]
    assert pipeline.metrics.rejected_by["internal_error"][0] == pipeline.metrics.processed[0] == 1


def test_only_session_started_begins_the_call(core: Core) -> None:
    """The caller is told to subscribe by session.started, wherever it comes, and by nothing else."""
    connection = core.connect()
    assert not connection.send("play.completed")
    assert connection.send("session.started", agent_session_id="as-1")
    assert not connection.turn(1)
    assert not core.connect().stream("start", start={"callId": "call-1"})


def test_unknown_names_are_counted(core: Core, call: Connection) -> None:
    """Events and fields that the protocol does not know are counted by name, and what is known of them is taken in."""
    call.send("never.heard.of", field=1)
    call.turn(1, user_perceived_ms=900, brand_new_ms=5)
    assert core.value("agentstack_exporter_unknown_events_total", event="never.heard.of") == 1
    assert core.value("agentstack_exporter_unknown_fields_total", event="turn.metrics", field="brand_new_ms") == 1
    assert core.observations("agentstack_user_perceived_latency_seconds") == 1


def test_unknown_names_are_bounded(core: Core, call: Connection) -> None:
    """However many unknown names come, few become series, and no frame or field is lost count of."""
    for number in range(500):
        call.send(f"unknown-{number}")
        call.send("play.completed", **{f"field-{number}": 1, f"other-{number}": 1})
    for name, expected in (("events", 500), ("fields", 1_000)):
        assert core.value(f"agentstack_exporter_unknown_{name}_total") == expected
        assert len(core.series(f"agentstack_exporter_unknown_{name}_total")) <= LabelLimits().values + 1


def test_flaws_are_counted_with_every_frame(core: Core, call: Connection) -> None:
    """What is wrong in every frame counts each time, before and after it was learned, and so do names without room."""
    for number in range(10):
        call.turn(number, user_perceived_ms=900, llm_ttft_ms=-1, llm_model=5, **{f"new_{name}": name for name in range(40)})
    unknown, refused = "agentstack_exporter_unknown_fields_total", "agentstack_exporter_values_refused_total"
    assert core.value(unknown, event="turn.metrics") == 400
    assert core.value(unknown, field="_other") == core.value("agentstack_exporter_label_overflow_total", label="field") == 100
    assert {series.value for series in core.series(unknown)} == {10, 100}
    assert core.value(refused, field="llm_ttft_ms", reason="sentinel") == 10
    assert core.value(refused, field="llm_model", reason="wrong_type") == 10
    assert core.value(refused) == 20
    assert core.observations("agentstack_user_perceived_latency_seconds") == 10


def test_an_unknown_field_that_made_room(core: Core, call: Connection) -> None:
    """The series of an unknown field that was not sent for a day makes room for others, and is not written to any more."""
    unknown = "agentstack_exporter_unknown_fields_total"
    for number in range(5):
        call.turn(number, **{f"old_{name}": name for name in range(30)})
    core.now += 90_000
    for number in range(5, 10):
        call.turn(number, **{f"new_{name}": name for name in range(30)})
    call.turn(11, old_0=1)
    assert core.value(unknown, field="old_0") == 0
    assert core.value(unknown, field="_other") == 1
    assert core.value(unknown) == 5 * 30 + 1


def test_lag_is_observed_where_it_can_be_true(core: Core, call: Connection) -> None:
    """Lag is receipt minus timestamp; events from the future and recordings over an hour old have none."""
    for lag in (0.25, 2.0, -3.0, 4_000.0, -4_000.0):
        lagging(call, core, lag)
    call.stream("media", media={"timestamp": datetime.fromtimestamp(core.now - 0.5, UTC).isoformat()})
    call.send("agent.speech_started")
    assert core.observations(LAG) == 3
    assert core.value(LAG) == 2.75


def test_skew_is_the_last_full_minutes_least_lag(core: Core, call: Connection) -> None:
    """The gauge shows the least lag of the last full minute, keeps it through a minute of silence, and is absent before."""
    lagging(call, core, 0.3)
    lagging(call, core, -2.0)
    core.let_pass(30)
    assert core.series(SKEW) == []
    core.let_pass(30)
    assert core.value(SKEW) == -2
    core.let_pass(60)
    assert core.value(SKEW) == -2
    lagging(call, core, 0.4)
    assert core.value(SKEW) == -2
    core.let_pass(60)
    assert core.value(SKEW) == 0.4


def test_label_values_show_themselves_again(core: Core, call: Connection) -> None:
    """Every hour what sessions remember of label values is forgotten, so that values in use are seen to be."""
    call.turn(1, user_perceived_ms=900)
    caches = call.session.series_cache.rows
    assert any(caches)
    for _ in range(59):
        core.let_pass(60)
    assert any(caches)
    core.let_pass(60)
    assert not any(caches)
    call.turn(2, user_perceived_ms=900)
    assert core.observations("agentstack_user_perceived_latency_seconds") == 2


def test_series_and_overflow_are_shown(core: Core, call: Connection) -> None:
    """The snapshot tells how many series there is room taken for."""
    call.turn(1, user_perceived_ms=900)
    assert core.value("agentstack_exporter_series") == core.pipeline.store.series > 0


def test_the_process_is_measured(core: Core) -> None:
    """Processor time, memory, file descriptors and start time of the process are set from what the system says."""
    Ticker(core.pipeline).measure_process()
    names = ("cpu_seconds_total", "resident_memory_bytes", "virtual_memory_bytes", "open_fds", "max_fds", "start_time_seconds")
    for name in names:
        assert core.value(f"process_{name}") > 0, name


@pytest.mark.parametrize("events", list(itertools.permutations(["started", "ended", "turn", "completed"])))
def test_events_of_a_call_in_any_order(events: tuple[str, ...]) -> None:
    """A call whose events come in any order, on one connection, counts its turn once and ends."""
    core = Core()
    connection = core.connect()
    send: dict[str, Any] = {
        "started": lambda: connection.send("session.started", agent_session_id="as-1", agent_id="support"),
        "ended": lambda: connection.send("session.ended", reason="user_hangup"),
        "turn": lambda: connection.turn(1),
        "completed": lambda: connection.completed(1),
    }
    for event in events:
        send[event]()
    connection.close()
    core.let_pass(40)
    assert core.value("agentstack_sessions_active") == 0
    assert core.value("agentstack_sessions_total") == core.value("agentstack_sessions_ended_total")
    if events.index("started") < events.index("ended"):
        assert core.value("agentstack_turns_total") == 1
