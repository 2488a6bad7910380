"""``check-config``: does everything that ``serve`` does short of listening, and connects nowhere."""

import asyncio

from exporter.config import Loaded
from exporter.config.reference import explained
from exporter.daemon.app import Daemon
from exporter.daemon.otlp import described_target
from exporter.daemon.serve import otel_from_environment


async def checked(loaded: Loaded) -> tuple[str, tuple[str, ...]]:
    """The settings as text, and warnings. Raises ``ValueError`` for what would keep ``serve`` from starting."""
    otel, warnings = otel_from_environment()
    Daemon(loaded.settings, otel)
    targets = "".join(f"\n# OTLP {signal}: {described_target(otel, signal)}" for signal in ("traces", "metrics"))
    return explained(loaded) + targets, (*loaded.warnings, *warnings)


def check(loaded: Loaded) -> tuple[str, tuple[str, ...]]:
    """As :func:`checked`, outside an event loop."""
    return asyncio.run(checked(loaded))
