"""Parts of other packages that the ``OTEL_*`` variables name: exporters, a sampler, resource detectors.

The SDK is imported only if one is named: it takes memory, and half a second.
"""

from collections.abc import Callable, Iterator
from typing import Any, get_args

from exporter.config.otel import OtelSettings
from exporter.exporters.otlp.target import Signal


def exporter_names(otel: OtelSettings, signal: Signal) -> tuple[str, ...]:
    """The names of the exporters of other packages for a signal."""
    return otel.span_exporters if signal == "traces" else otel.metric_exporters


def exporter_classes(otel: OtelSettings) -> Iterator[tuple[str, Signal, type[Any]]]:
    """The name, signal and class of each exporter that can be used. :func:`problems` says why others cannot."""
    for signal in get_args(Signal):
        for name in exporter_names(otel, signal):
            found = _exporter_class(name, signal)
            if not isinstance(found, str):
                yield name, signal, found


def other_sampler(otel: OtelSettings) -> Callable[[str], bool] | None:
    """What decides about traces instead of the samplers that are built in; ``None`` if nothing does."""
    found = _sampler(otel)
    return None if isinstance(found, str) else found


def problems(otel: OtelSettings) -> tuple[str, ...]:
    """What is named and cannot be used, and why."""
    found = [
        f"OTEL_{signal.upper()}_EXPORTER: {problem}; nothing is sent there"
        for signal in get_args(Signal)
        for name in exporter_names(otel, signal)
        if isinstance(problem := _exporter_class(name, signal), str)
    ]
    if isinstance(unusable := _sampler(otel), str):
        found.append(f"OTEL_TRACES_SAMPLER: {unusable}; parentbased_always_on is used")
    if otel.resource_detectors:
        from exporter.exporters.sdk.resource_detectors import unknown_detectors  # noqa: PLC0415 - as above

        names = unknown_detectors(otel.resource_detectors)
        found += [f"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS: no installed package has the detector {name!r}" for name in names]
    return tuple(found)


def _exporter_class(name: str, signal: Signal) -> type[Any] | str:
    """The class, or why there is none."""
    from exporter.exporters.sdk.entry_points import NotUsableError, exporter_class  # noqa: PLC0415 - as above

    try:
        return exporter_class(name, signal)
    except NotUsableError as error:
        return str(error)


def _sampler(otel: OtelSettings) -> Callable[[str], bool] | str | None:
    """As :func:`other_sampler`, or why the sampler cannot be used."""
    if otel.other_sampler is None:
        return None
    from exporter.exporters.sdk.entry_points import NotUsableError, sampler  # noqa: PLC0415 - as above
    from exporter.exporters.sdk.samplers import decider  # noqa: PLC0415 - as above

    name, argument = otel.other_sampler
    try:
        return decider(sampler(name, argument or None))
    except NotUsableError as error:
        return str(error)
