"""Which framework feeds a session: an info metric, and nothing on any other series."""

import json

import pytest

from agentstack_tap import Tap
from exporter.metrics.label_limits import OTHER, LabelLimits
from exporter.pipeline.tap_feed import TapFeed
from tests.support.core import Core
from tests.support.traced import Player, values

INFO = "agentstack_framework_info"
STARTED = {"type": "session.started", "agent_session_id": "as-1", "agent_id": "support"}


def test_a_framework_is_named_once() -> None:
    """Sessions of an agent that name their framework make one series, which is 1; an absent version is unknown."""
    core = Core()
    for number in range(3):
        core.call(f"as-{number}", framework="livekit-agents", framework_version="1.8.9")
    core.call("as-9", agent="sales", framework="our own")
    assert [series.labels for series in core.series(INFO)] == [
        ("support", "livekit-agents", "1.8.9"),
        ("sales", "our own", "unknown"),
    ]
    assert {series.value for series in core.series(INFO)} == {1}


def test_the_platforms_own_sessions_name_none() -> None:
    """A session that names no framework makes no series."""
    core = Core()
    core.call()
    assert core.series(INFO) == []


def test_frameworks_are_limited() -> None:
    """Names and versions from the wire are bounded as other label values are."""
    core = Core(LabelLimits(values=3))
    for number in range(10):
        core.call(f"as-{number}", framework=f"f{number}", framework_version=f"{number}")
    assert {series.labels[1] for series in core.series(INFO)} == {"f0", "f1", "f2", OTHER}
    assert len(core.series(INFO)) == 4


def test_another_process_knows_it() -> None:
    """A call that another process continues still says what feeds it, although its start does not count again."""
    core = Core()
    TapFeed(core.pipeline, "as-1").resume(
        json.dumps({**STARTED, "framework": "pipecat-ai", "framework_version": "1.14.0"}), None, core.now
    )
    assert core.value(INFO, agent="support", framework="pipecat-ai", framework_version="1.14.0") == 1
    assert core.value("agentstack_sessions_total") == 0


def test_it_is_on_the_span_of_the_session() -> None:
    """The session's span says framework and version."""
    player = Player().play({**STARTED, "framework": "livekit-agents", "framework_version": "1.8.9"}, {"type": "session.ended"}).finish()
    found = values(player.emitted[-1].attributes)
    assert (found["agentstack.framework.name"], found["agentstack.framework.version"]) == ("livekit-agents", "1.8.9")


@pytest.mark.parametrize("as_frame", [False, True], ids=["mapping", "frame"])
def test_a_tap_names_its_framework(*, as_frame: bool) -> None:
    """A tap that was told its framework adds it to the first event of each call, and to nothing else."""
    writer = Tap("ws://127.0.0.1:1/ws", framework="our own", framework_version="3.1")._writer  # what its thread writes with
    sent = []
    for event in (STARTED, {"event": "start", "streamId": "s"}, {"type": "turn.metrics"}, {**STARTED, "framework": "theirs"}):
        [written] = writer.frame(json.dumps(event)) if as_frame else writer.event(event)
        sent.append(json.loads(json.loads(written.text)) if as_frame else json.loads(written.text))
    assert sent == [
        {**STARTED, "framework": "our own", "framework_version": "3.1"},
        {"event": "start", "streamId": "s"},
        {"type": "turn.metrics"},
        {**STARTED, "framework": "theirs", "framework_version": "3.1"},
    ]
