"""Which framework feeds the sessions of an agent: an info metric, so that no other series needs the label."""

from exporter.catalogue import derived
from exporter.events.session import SessionStarted
from exporter.metrics.instrument import Instrument
from exporter.metrics.label_limits import LabelLimiter
from exporter.metrics.store import Store
from exporter.sessions.session import Session


class ProvenanceTracker:
    """Notes what each session says of its framework."""

    def __init__(self, store: Store, limiter: LabelLimiter) -> None:
        self._limiter = limiter
        self._info = Instrument(store, derived.FRAMEWORK_INFO)

    def session_started(self, session: Session, event: SessionStarted, now: float) -> SessionStarted:
        """A session began, or another process passed it on. One that names no framework is the platform's own."""
        if event.framework:
            framework = self._limiter.value("framework", event.framework, now)
            version = self._limiter.value("framework_version", event.framework_version, now)
            self._info.set(1, agent=session.agent_label, framework=framework, framework_version=version, now=now)
        return event
