"""Slow checks of passwords, one at a time, so that one peer with many wrong passwords delays the others little.

The peers take turns. A peer has a few checks waiting, and a few peers may wait: what is more is refused at once. A check that nobody
waits for any more is dropped before it begins.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final

MAX_WAITING: Final = 4
"""Checks of one peer that may wait. The same credentials of several requests are one check."""
MAX_PEERS: Final = 64
"""Peers that may wait at the same time."""


class TooManyChecksError(Exception):
    """There is no room for another check."""


@dataclass(eq=False, slots=True)
class _Check:
    digest: bytes
    work: Callable[[], bool]
    waiting: int = 0
    result: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class PasswordChecks:
    """Runs checks in a thread. For use on one event loop."""

    def __init__(self) -> None:
        self._checks: dict[tuple[str, bytes], _Check] = {}
        self._peers: OrderedDict[str, deque[_Check]] = OrderedDict()
        self._worker: asyncio.Task[None] | None = None

    async def check(self, peer: str, digest: bytes, work: Callable[[], bool]) -> bool:
        """Whether ``work`` says so, when it is the peer's turn. ``digest`` identifies the credentials that it checks.

        Raises :class:`TooManyChecksError` if there is no room. A caller that is cancelled gives its place up.
        """
        peer = _network(peer)
        check = self._checks.get((peer, digest)) or self._enqueue(peer, _Check(digest, work))
        check.waiting += 1
        try:
            return await asyncio.shield(check.result)
        finally:
            check.waiting -= 1
            if not check.waiting:
                self._drop(peer, check)

    def _enqueue(self, peer: str, check: _Check) -> _Check:
        waiting = self._peers.get(peer)
        if len(waiting) >= MAX_WAITING if waiting is not None else len(self._peers) >= MAX_PEERS:
            raise TooManyChecksError
        self._peers.setdefault(peer, deque()).append(check)
        self._checks[peer, check.digest] = check
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work())
        return check

    def _drop(self, peer: str, check: _Check) -> None:
        """Forget a check that nobody waits for: it has a result, or it need not begin."""
        if self._checks.get((peer, check.digest)) is check:
            del self._checks[peer, check.digest]
        waiting = self._peers.get(peer)
        if waiting is not None and check in waiting:
            waiting.remove(check)
            if not waiting:
                del self._peers[peer]

    async def _work(self) -> None:
        while self._peers:
            peer, waiting = self._peers.popitem(last=False)
            check = waiting.popleft()
            if waiting:
                self._peers[peer] = waiting
            try:
                check.result.set_result(await asyncio.to_thread(check.work))
            # The requests that wait for this check fail; the other checks go on.
            except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
                check.result.set_exception(error)
                check.result.exception()


def _network(peer: str) -> str:
    """What counts as one peer: an IPv4 address, or the network of an IPv6 address, of which one host has many."""
    try:
        ip = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip.packed[:8].hex())
