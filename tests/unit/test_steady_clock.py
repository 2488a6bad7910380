"""A system clock that is set while calls go on: nothing is measured with it."""

import re
import time
from collections.abc import Callable

import pytest

from exporter.daemon.ticker import Ticker
from exporter.pipeline.pipeline import SWEEP_EVERY
from exporter.receivers import steady_clock
from exporter.receivers.steady_clock import CLOCK, SteadyClock
from tests.support.core import Core
from tests.support.house_rules import ROOT

SetClock = Callable[[float], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Sets the system's clock by so many seconds, until the end of the test."""
    monkeypatch.setattr(CLOCK, "offset", CLOCK.offset)
    return lambda by: monkeypatch.setattr(steady_clock, "time", lambda: time.time() + by)


@pytest.mark.parametrize("by", [-10_800.0, 10_800.0])
def test_time_goes_on_evenly(set_clock: SetClock, by: float) -> None:
    """A jump is not followed until that is asked for, and a small correction is followed at once."""
    clock = SteadyClock()
    set_clock(by)
    assert clock.follow(jump=False) == pytest.approx(by, abs=0.5)
    assert clock.time() == pytest.approx(time.time(), abs=0.5)
    assert clock.follow(jump=True) == 0.0
    assert clock.time() == pytest.approx(time.time() + by, abs=0.5)
    set_clock(by + 0.9)
    assert clock.follow(jump=False) == 0.0
    assert clock.time() == pytest.approx(time.time() + by + 0.9, abs=0.5)


@pytest.mark.parametrize("by", [-30.0, 30.0])
def test_a_jump_is_followed_in_the_end(set_clock: SetClock, by: float) -> None:
    """Where some call always goes on, the clock is right again after twenty seconds for each second, and never goes back."""
    clock = SteadyClock()
    set_clock(by)
    left = [clock.follow(jump=False) for _ in range(601)]
    assert left[0] == pytest.approx(by, abs=0.5)
    assert left[-1] == 0.0
    assert clock.time() == pytest.approx(time.time() + by, abs=0.5)


@pytest.mark.parametrize("by", [-10_800.0, 10_800.0])
def test_calls_keep_their_times(set_clock: SetClock, by: float, caplog: pytest.LogCaptureFixture) -> None:
    """While a call goes on or a turn waits, the clock of the exporter does not jump; the log says so once, and when it is over."""
    caplog.set_level("INFO")
    core = Core()
    ticker = Ticker(core.pipeline)
    call = core.call()
    call.completed(1)
    set_clock(by)
    for _ in range(3):
        ticker._follow_clock()
    assert CLOCK.time() == pytest.approx(time.time(), abs=0.5)
    call.send("session.ended")
    call.close()
    ticker._follow_clock()
    assert CLOCK.time() == pytest.approx(time.time() + by, abs=0.5)
    ticker._follow_clock()
    assert [record.getMessage() for record in caplog.records] == [
        f"the system clock was set by {by:+.0f} s; it is followed slowly, or at once when no call goes on",
        "the system clock is used again",
    ]


def test_timers_go_on_after_the_clock_was_set_back() -> None:
    """Calls that begin after the clock was set back end when they are silent, without waiting for it to catch up."""
    core = Core()
    core.let_pass(SWEEP_EVERY)
    core.now -= 10_800
    core.call()
    core.let_pass(SWEEP_EVERY)
    core.let_pass(10_000)
    assert core.value("agentstack_sessions_ended_total", reason="idle") == 1


def test_no_other_module_reads_the_system_clock() -> None:
    """What is received, shown and due has one clock; only a snapshot has the system's time, which collectors compare with their own."""
    reads = re.compile(r"\btime\.time\b|^from time import .*\btime\b", re.MULTILINE)
    found = {
        str(path.relative_to(ROOT / "exporter"))
        for path in (ROOT / "exporter").rglob("*.py")
        if not path.is_relative_to(ROOT / "exporter" / "simulate") and reads.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"receivers/steady_clock.py", "daemon/core.py"}
