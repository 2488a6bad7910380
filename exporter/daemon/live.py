"""/live wiring: from the settings to what is kept of calls, and to the pages that show it."""

import secrets
from collections.abc import Callable
from typing import Final

from starlette.routing import Route

from exporter import __version__
from exporter.analysis.turn_taking import DEAD_AIR
from exporter.config import Settings
from exporter.config.otel import OtelSettings
from exporter.exporters.live.hub import Hub
from exporter.exporters.live.messages import LiveConfig, Objective
from exporter.exporters.live.pages import LivePages
from exporter.exporters.live.state import LiveState, Sources
from exporter.pipeline.pipeline import Journals, Pipeline
from exporter.receivers.steady_clock import CLOCK
from exporter.sessions.kept_calls import MOST_ENDED, KeptCalls
from exporter.sessions.turn_notes import TurnNotes

_BOOT_BYTES: Final = 6


def create_journals(settings: Settings) -> Journals | None:
    """What the pipeline keeps for /live; nothing with ``--no-live``."""
    if not settings.live:
        return None
    return Journals(KeptCalls(settings.live_memory), TurnNotes(), content=settings.live_content)


def shown_to_anyone(settings: Settings, *, authenticates: bool) -> bool:
    """Whether other machines can read /live without authentication."""
    return settings.live and not authenticates and not settings.telemetry_listen.is_loopback


class Live:
    """/live of one process. ``last_scrape`` returns when /metrics was scraped."""

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        journals: Journals,
        otel: OtelSettings,
        last_scrape: Callable[[], float | None],
    ) -> None:
        config = LiveConfig(
            version=__version__,
            slow_turn=settings.slow_turn,
            dead_air=DEAD_AIR,
            objective=Objective(),
            trace_url=settings.trace_url,
            content=settings.live_content,
            most_ended=MOST_ENDED,
            memory=settings.live_memory,
        )
        sources = Sources(
            kept_calls=journals.kept_calls,
            notes=journals.notes,
            store=pipeline.store,
            sessions=pipeline.sessions,
            turn_taking=pipeline.trackers.turn_taking,
            otlp_signals=tuple(name for name, signal in (("traces", otel.traces), ("metrics", otel.metrics)) if signal is not None),
            last_scrape=last_scrape,
        )
        state = LiveState(sources, config, secrets.token_hex(_BOOT_BYTES))
        self._hub = Hub(state, CLOCK.time)
        self._pages = LivePages(state, self._hub)

    def routes(self) -> list[Route]:
        """The routes for the telemetry listener."""
        return self._pages.routes()

    def start(self) -> None:
        """Start to read the store."""
        self._hub.start()

    async def stop(self) -> None:
        """End all streams."""
        await self._hub.stop()
