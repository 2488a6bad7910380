"""``check-config``: does everything that ``serve`` does short of listening, and connects nowhere."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from exporter.config import Loaded
from exporter.config.otel import OtelSettings
from exporter.config.reference import explained
from exporter.daemon.app import Daemon
from exporter.daemon.descriptors import shortage
from exporter.daemon.otlp import described_target, target_of
from exporter.daemon.sdk_parts import exporter_classes
from exporter.daemon.serve import otel_from_environment
from exporter.exporters.otlp.target import Signal


async def checked(loaded: Loaded) -> tuple[str, tuple[str, ...]]:
    """The settings as text, and warnings. Raises ``ValueError`` for what would keep ``serve`` from starting."""
    otel, warnings = otel_from_environment(loaded.settings)
    Daemon(loaded.settings, replace(otel, resource_detectors=()))  # detectors may connect
    lines = "".join(f"\n# {line}" for line in _destinations(otel))
    return explained(loaded) + lines, (*loaded.warnings, *warnings, *shortage(loaded.settings))


def check(loaded: Loaded) -> tuple[str, tuple[str, ...]]:
    """As :func:`checked`, outside an event loop."""
    return asyncio.run(checked(loaded))


def _destinations(otel: OtelSettings) -> Iterator[str]:
    """Where each signal goes, and how. The values of headers can be credentials, so only their names are shown."""
    for signal in get_args(Signal):
        yield f"OTLP {signal}: {described_target(otel, signal)}"
    for signal in get_args(Signal):
        if (target := target_of(otel, signal)) is not None:
            headers = ", ".join(name for name, _ in target.headers) or "none"
            yield f"OTLP {signal}: headers {headers}; proxy {target.proxy.address if target.proxy else 'none'}"
    for name, signal, _ in exporter_classes(otel):
        yield f"{signal}: exporter {name}"
