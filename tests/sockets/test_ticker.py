"""Periodic work in a running event loop."""

from exporter.daemon.ticker import Ticker
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.diagnostics import NoDiagnostics
from exporter.pipeline.pipeline import Pipeline
from exporter.sessions.registry import SessionTimeouts
from tests.support.waiting import eventually


class Reported(NoDiagnostics):
    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def internal_error(self, error: Exception) -> None:
        self.errors.append(error)


class Failing(Pipeline):
    """A pipeline whose timers fail."""

    def tick(self, now: float) -> None:
        raise LookupError(now)


async def test_an_error_in_a_timer_is_reported_and_timers_go_on() -> None:
    """An internal error in a timer is reported, the timer runs again a second later, and the stop does not fail."""
    reported = Reported()
    ticker = Ticker(Failing(LabelLimits(), SessionTimeouts(), reported, 0.0))
    ticker.start()
    await eventually(lambda: len(reported.errors) >= 2)
    await ticker.stop()
    assert {type(error) for error in reported.errors} == {LookupError}
