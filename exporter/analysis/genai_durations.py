"""How long turns and tools took, as metrics of the GenAI conventions."""

from functools import partial

from exporter.catalogue.genai import AGENT_NAME, ERROR_TYPE, TOOL_NAME, TOOL_TYPE
from exporter.catalogue.genai_metrics import ERROR_SOURCES, EXECUTE_TOOL_DURATION, INVOKE_AGENT_DURATION, label_value
from exporter.metrics.instrument import Instrument
from exporter.metrics.store import Observe, Store
from exporter.sessions.session import Session

_OTHER_ERROR = "_OTHER"
"""``error.type`` of an error that has no name of its own, as OpenTelemetry has it."""


class GenAiDurations:
    """Observes the durations. If they are not ``wanted``, nothing is observed, and the store need not have the metrics."""

    def __init__(self, store: Store, *, wanted: bool) -> None:
        self._store = store
        self._wanted = wanted
        if wanted:
            self._invocations = Instrument(store, INVOKE_AGENT_DURATION)
            self._tools = Instrument(store, EXECUTE_TOOL_DURATION)

    def turn(self, session: Session, seconds: float, error_source: str | None, now: float) -> None:
        """A turn lasted that long; ``error_source`` is the stage that failed, if one did."""
        error = ""
        if error_source:
            error = error_source.lower() if error_source.lower() in ERROR_SOURCES else _OTHER_ERROR
        observe = session.series_cache.invocations.get(error) or self._observer(session, error, now)
        observe(seconds)

    def tool(self, session: Session, name: str, kind: str, seconds: float, *, error: str, now: float) -> None:
        """A tool lasted that long. ``name`` is its label, ``kind`` its type; ``error`` is empty if it did not fail."""
        if self._wanted:
            labels = {TOOL_NAME: name, TOOL_TYPE: kind, AGENT_NAME: _agent(session), ERROR_TYPE: error}
            self._tools.observe(seconds, now=now, **labels)

    def _observer(self, session: Session, error: str, now: float) -> Observe:
        find = partial(self._invocations.observer, now=now, **{AGENT_NAME: _agent(session), ERROR_TYPE: error})
        return self._store.cached(session.series_cache.invocations, error, find)


def _agent(session: Session) -> str:
    return label_value(AGENT_NAME, session.agent_label, "")
