"""Finds exporters and samplers by name among the installed packages, as OpenTelemetry's SDK does."""

import importlib.metadata
from typing import Any, Final

from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from exporter.exporters.otlp.target import Signal

_GROUPS: Final[dict[Signal, str]] = {"traces": "opentelemetry_traces_exporter", "metrics": "opentelemetry_metrics_exporter"}
_BASES: Final[dict[Signal, type]] = {"traces": SpanExporter, "metrics": MetricExporter}
_SAMPLERS: Final = "opentelemetry_traces_sampler"


class NotUsableError(Exception):
    """No usable exporter or sampler has the name. The message says why."""


def exporter_class(name: str, signal: Signal) -> type[Any]:
    """The class of an exporter; raises :class:`NotUsableError`."""
    found = _load(_GROUPS[signal], name, "exporter")
    if isinstance(found, type) and issubclass(found, MetricReader):
        raise NotUsableError(
            f"{name!r} is a metric reader, which reads instruments of the SDK; there are none here, use /metrics or OTLP"
        )
    if not (isinstance(found, type) and issubclass(found, _BASES[signal])):
        raise NotUsableError(f"{name!r} is no exporter of {signal}")
    return found


def sampler(name: str, argument: str | None) -> Sampler:
    """The sampler that a package makes from the argument; raises :class:`NotUsableError`."""
    try:
        made = _load(_SAMPLERS, name, "sampler")(argument)
    except NotUsableError:
        raise
    except Exception as error:
        raise NotUsableError(f"{name!r} cannot be created: {type(error).__name__}: {error}") from error
    if not isinstance(made, Sampler):
        raise NotUsableError(f"{name!r} is no sampler")
    return made


def _load(group: str, name: str, kind: str) -> Any:  # noqa: ANN401 - a package may register anything
    found = importlib.metadata.entry_points(group=group)
    if name not in found.names:
        raise NotUsableError(f"no installed package has the {kind} {name!r}; there are {', '.join(sorted(found.names)) or 'none'}")
    try:
        return next(iter(found.select(name=name))).load()
    except Exception as error:
        raise NotUsableError(f"{name!r} cannot be imported: {type(error).__name__}: {error}") from error
