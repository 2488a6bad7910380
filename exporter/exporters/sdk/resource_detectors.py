"""The resource as OpenTelemetry's SDK makes it: the detectors of all installed packages, merged in order.

Detectors ask the machine, and those of clouds a server. Each runs in a thread of its own and has five seconds, all at the same time.
"""

import importlib.metadata
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final, cast

from opentelemetry.sdk.resources import Resource, ResourceDetector

from exporter.protobuf import AttributeValue

TIMEOUT: Final = 5.0
_GROUP: Final = "opentelemetry_resource_detector"
_VARIABLES: Final = "otel"
"""The detector of ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME``. The exporter has read these itself."""
_INSTANCE: Final = "service_instance"

_EXPORTED: Final = (str, bool, int, float, Sequence)
"""Types of attributes that our encoder knows. A list holds values of one of them; the SDK checks that."""

log = logging.getLogger(__name__)


def detected(
    defaults: Mapping[str, AttributeValue], given: Mapping[str, AttributeValue], names: Sequence[str]
) -> dict[str, AttributeValue]:
    """The attributes that the detectors ``names`` find, on top of ``defaults``.

    ``given`` is what the variables say. It wins, unless the detector ``otel`` is named at another place.
    """
    ordered = tuple(dict.fromkeys((*_expanded(names), _VARIABLES)))
    threads = {name: _Detection(name) for name in ordered if name != _VARIABLES}
    deadline = time.monotonic() + TIMEOUT
    merged = Resource(dict(defaults))
    for name in ordered:
        merged = merged.merge(Resource(dict(given)) if name == _VARIABLES else threads[name].result(deadline))
    return {key: cast("AttributeValue", value) for key, value in merged.attributes.items() if isinstance(value, _EXPORTED)}


def unknown_detectors(names: Sequence[str]) -> tuple[str, ...]:
    """The names that no installed package has."""
    known = {*importlib.metadata.entry_points(group=_GROUP).names, "*"}
    return tuple(name for name in names if name not in known)


def _expanded(names: Sequence[str]) -> tuple[str, ...]:
    """``*`` stands for all installed detectors that are not named."""
    if "*" not in names:
        return tuple(names)
    at = names.index("*")
    rest = {*importlib.metadata.entry_points(group=_GROUP).names} - {*names, _VARIABLES, _INSTANCE}
    return (*names[:at], *sorted(rest), *names[at + 1 :])


class _Detection:
    """One detector at work."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: Resource | None = None
        self._thread = threading.Thread(target=self._run, name=f"otel-resource-{name}", daemon=True)
        self._thread.start()

    def result(self, deadline: float) -> Resource:
        """What it has found; nothing if it fails or takes too long."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._found is None:
            if self._thread.is_alive():
                log.warning("resource detector %s: no answer within %g s; it is left out", self._name, TIMEOUT)
            return Resource({})
        return self._found

    def _run(self) -> None:
        try:
            (entry, *_) = importlib.metadata.entry_points(group=_GROUP, name=self._name)
            detector: ResourceDetector = entry.load()()
            self._found = detector.detect()
        except Exception as error:  # noqa: BLE001 - it is of another package, and its failure costs its attributes only
            log.warning("resource detector %s failed and is left out: %s: %s", self._name, type(error).__name__, error)
