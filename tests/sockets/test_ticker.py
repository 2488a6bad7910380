"""What happens by the clock, in a running event loop."""

from exporter.daemon.ticker import Housekeeping
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.registry import SessionTimeouts
from tests.support.waiting import eventually


class Told(NoDiagnostics):
    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def internal_error(self, error: Exception) -> None:
        self.errors.append(error)


class Failing(Pipeline):
    """A core with a fault in its timers."""

    def tick(self, now: float) -> None:
        raise LookupError(now)


async def test_a_fault_in_a_timer_is_reported_and_timers_go_on() -> None:
    """An error of ours when something is due is told, tried again a second later, and does not fail the stop."""
    told = Told()
    housekeeping = Housekeeping(Failing(LabelLimits(), SessionTimeouts(), told, 0.0))
    housekeeping.start()
    await eventually(lambda: len(told.errors) >= 2)
    await housekeeping.stop()
    assert {type(error) for error in told.errors} == {LookupError}
