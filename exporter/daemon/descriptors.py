"""How many connections the process may have open at once, and how many of them each listener may take.

Every connection takes a file descriptor, and a relayed call two. When none is left, the system ends each new connection without an
answer, that of a scrape too. So calls get no more than leaves room for the telemetry pages and for files.
"""

import resource
from dataclasses import dataclass
from typing import Final

from exporter.config import Settings

MAX_PENDING: Final = 4096
"""Connections to ``--listen`` that have not yet become a WebSocket. All calls of a fleet may connect at the same moment."""
MAX_TELEMETRY: Final = 256
"""Connections to ``--telemetry-listen``."""
_OWN: Final = 64
"""Descriptors for files, exporters and the process itself."""


@dataclass(frozen=True, slots=True)
class Places:
    """Connections that may be open: ``calls``, those to ``--listen`` that are none yet, and those to ``--telemetry-listen``."""

    calls: int
    pending: int = MAX_PENDING
    telemetry: int = MAX_TELEMETRY


def places(settings: Settings, limit: int | None = None) -> Places:
    """The places for connections, if the process may open ``limit`` files. By default the limit is the one in force."""
    limit = _usable(resource.getrlimit(resource.RLIMIT_NOFILE)[0]) if limit is None else limit
    if limit >= _wanted(settings):
        return Places(settings.max_connections)
    telemetry = min(MAX_TELEMETRY, max(1, limit // 8))
    left = max(0, limit - telemetry - min(_OWN, limit // 2))
    pending = min(MAX_PENDING, max(1, left // 4))
    return Places(min(settings.max_connections, max(1, (left - pending) // _each(settings))), pending, telemetry)


def raise_limit(settings: Settings) -> None:
    """Let the process open as many files as its settings ask for, if the system permits it. Shells start programs with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(_wanted(settings), _usable(hard))
    if _usable(soft) < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def shortage(settings: Settings) -> tuple[str, ...]:
    """A warning, if the system does not permit as many open files as the settings ask for."""
    hard = _usable(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    found = places(settings, hard)
    if found.calls == settings.max_connections:
        return ()
    room = f"at most {found.calls} instead of {settings.max_connections} calls are accepted"
    advice = f"raise the limit to {_wanted(settings)} (LimitNOFILE in systemd, ulimit -Hn)"
    return (f"--max-connections: {room}, because the process may open {hard} files only; {advice}",)


def _wanted(settings: Settings) -> int:
    return _OWN + MAX_TELEMETRY + MAX_PENDING + settings.max_connections * _each(settings)


def _each(settings: Settings) -> int:
    return 1 if settings.upstream is None else 2


def _usable(limit: int) -> int:
    return 1 << 30 if limit == resource.RLIM_INFINITY else limit
