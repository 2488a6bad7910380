"""One tap for all sessions of a process that report to the same exporter. It has a thread only while one of them goes on."""

import ssl
from dataclasses import dataclass
from threading import Lock
from typing import Final

from agentstack_tap.client import Tap

Key = tuple[str, str | None, str | None, str | None, ssl.SSLContext | None]
"""What two sessions must have in common to share a tap: where they report to, as whom, and what feeds them."""


@dataclass(slots=True)
class _Shared:
    tap: Tap
    sessions: int = 0


_taps: Final[dict[Key, _Shared]] = {}
_changing: Final = Lock()


def borrow(
    url: str,
    *,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    framework: str | None = None,
    framework_version: str | None = None,
) -> Tap:
    """The tap of this process for these arguments, which are those of :class:`Tap`. Give it back with :func:`give_back`.

    Raises ``ValueError`` as :class:`Tap` does.
    """
    key = (url, token, framework, framework_version, tls)
    with _changing:
        shared = _taps.get(key)
        if shared is None or shared.tap.closed:
            tap = Tap(url, token=token, tls=tls, framework=framework, framework_version=framework_version)
            shared = _taps[key] = _Shared(tap)
        elif not shared.sessions:
            shared.tap.stay()
        shared.sessions += 1
        return shared.tap


def give_back(tap: Tap) -> None:
    """A session needs the tap no more. After the last one it disconnects, once everything is acknowledged, and is ready for others."""
    with _changing:
        for shared in _taps.values():
            if shared.tap is tap:
                shared.sessions -= 1
                if not shared.sessions:
                    tap.rest()
                return
