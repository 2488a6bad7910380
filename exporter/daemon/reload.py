"""SIGHUP: reads again what a running exporter can exchange, and says what it did.

These are the files (tokens, certificates, prices, the web configuration) and, of the settings, the tokens and the level and format of
the log.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import click

from exporter.config import Loaded
from exporter.daemon.app import Daemon
from exporter.server.daemon_threads import run_in_thread

SETTINGS_TIMEOUT: Final = 5.0
"""Seconds that a reload waits for the settings file."""

log = logging.getLogger(__name__)


class Reloader:
    """Reloads when :meth:`request` is called.

    ``read_settings`` reads the settings from their sources, ``apply_logging`` uses those of the log.
    """

    def __init__(self, daemon: Daemon, read_settings: Callable[[], Loaded] | None, apply_logging: Callable[[Loaded], None]) -> None:
        self._daemon = daemon
        self._read_settings = read_settings
        self._apply_logging = apply_logging
        self._task: asyncio.Task[None] | None = None
        self._requested = False

    def request(self) -> None:
        """Reload now, or once more after the reload that is going on."""
        self._requested = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._requested:
            self._requested = False
            failed, restart = await self._reload_settings()
            outcomes = await self._daemon.watcher.reload()
            reloaded = [name for name, outcome in outcomes.items() if outcome == "reloaded"]
            failed += [name for name, outcome in outcomes.items() if outcome == "failed"]
            found = {"reloaded": reloaded, "failed": failed, "restart_needed_for": restart}
            log.log(
                logging.WARNING if failed or restart else logging.INFO,
                "reload finished",
                extra={key: ", ".join(names) for key, names in found.items() if names} or {"reloaded": "nothing"},
            )

    async def _reload_settings(self) -> tuple[list[str], list[str]]:
        """Returns what failed, and the flags of the settings that need a restart."""
        if self._read_settings is None:
            return [], []
        try:
            async with asyncio.timeout(SETTINGS_TIMEOUT):
                loaded = await run_in_thread(self._read_settings, "settings")
        except click.ClickException as error:
            log.error("reload failed; keeping the previous settings: %s", error.format_message())  # noqa: TRY400 - the reason says all
            return ["settings"], []
        except TimeoutError:
            log.error("reload timeout; keeping the previous settings: not read within %s s", SETTINGS_TIMEOUT)  # noqa: TRY400 - as above
            return ["settings"], []
        self._apply_logging(loaded)
        return [], ["--" + name.replace("_", "-") for name in self._daemon.configure(loaded.settings)]
