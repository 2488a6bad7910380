"""Every event and every metric in one list: the events' declarations, derived metrics, and the exporter's own."""

from exporter.catalogue.declarations import DeclarationError, DrivesLogic, MetricSpec
from exporter.catalogue.derived import DERIVED
from exporter.catalogue.genai_metrics import LOGIC_METRICS
from exporter.catalogue.inspect import EventSpec
from exporter.metrics.self_metrics import SELF_METRICS
from exporter.protocol.decoder import SPECS


def events() -> tuple[EventSpec, ...]:
    """The events of the platform, each with its declarations."""
    return SPECS


def other_metrics() -> tuple[MetricSpec, ...]:
    """The metrics that no single event feeds: derived ones, those of the GenAI conventions, and the exporter's own."""
    return (*DERIVED, *LOGIC_METRICS, *SELF_METRICS)


def metrics() -> dict[str, MetricSpec]:
    """Every metric by its scraped name.

    Raises :class:`DeclarationError` if a name has two different declarations, or a ``DrivesLogic`` names a metric that does not exist.
    """
    found: dict[str, MetricSpec] = {}
    fed = [feeds.spec for event in SPECS for feeds in event.metrics]
    fed += [feeds.spec for event in SPECS for field in event.fields for feeds in field.feeds]
    for spec in (*fed, *other_metrics()):
        if found.setdefault(spec.name, spec) != spec:
            raise DeclarationError(f"{spec.name} is declared in two ways")
    known = {spec.otel_name for spec in found.values()}
    for event in SPECS:
        for field in event.fields:
            for declaration in field.declarations:
                if isinstance(declaration, DrivesLogic) and not set(declaration.metrics) <= known:
                    raise DeclarationError(f"{event.name}.{field.name} feeds metrics that do not exist: {declaration.metrics}")
    return found
