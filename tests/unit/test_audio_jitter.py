"""How evenly relayed audio flows."""

import pytest

from exporter.protocol.commands import Direction
from tests.support.core import Connection, Core

FRAMES = "agentstack_audio_frames_total"
BYTES = "agentstack_audio_transferred_bytes_total"
GAPS = "agentstack_audio_gaps_total"
JITTER = "agentstack_audio_jitter_seconds"


@pytest.fixture
def core() -> Core:
    """A core with default limits and waits."""
    return Core()


@pytest.fixture
def call(core: Core) -> Connection:
    """A relayed audio stream that has begun."""
    connection = core.connect(relayed=True)
    connection.stream("start", streamId="s1", start={"callId": "c1", "mediaFormat": {"type": "audio/x-mulaw", "rate": 8000}})
    return connection


def test_messages_and_bytes_are_counted_by_direction(core: Core, call: Connection) -> None:
    """Each direction has counts of its own."""
    for _ in range(3):
        call.feed.audio("caller", 250, core.now)
    call.feed.audio("agent", 400, core.now)
    assert core.value(FRAMES, direction="caller") == 3
    assert core.value(BYTES, direction="caller") == 750
    assert core.value(FRAMES, direction="agent") == 1
    assert core.value(BYTES, direction="agent") == 400


def test_jitter_is_the_change_of_the_interval(core: Core, call: Connection) -> None:
    """An even stream has no jitter, and a frame that is late shows twice: by being late, and by the next one's being near."""
    for passed in (0, 0.02, 0.02, 0.05, 0.02):
        core.now += passed
        call.feed.audio("caller", 250, core.now)
    assert core.observations(JITTER, direction="caller") == 3
    assert core.value(JITTER, direction="caller") == pytest.approx(0.06, abs=1e-5)


@pytest.mark.parametrize(
    ("direction", "pause", "gaps"),
    [("caller", 0.19, 0), ("caller", 0.5, 1), ("caller", 30, 1), ("agent", 0.5, 1), ("agent", 1.5, 0)],
)
def test_a_pause_within_speech_is_a_gap(core: Core, call: Connection, direction: Direction, pause: float, gaps: int) -> None:
    """A caller's line never pauses, and an agent pauses only between utterances for longer than a second."""
    for passed in (0, 0.02, pause, 0.02):
        core.now += passed
        call.feed.audio(direction, 250, core.now)
    assert core.value(GAPS, direction=direction) == gaps
    if gaps or pause > 1:
        assert core.observations(JITTER) == 0
