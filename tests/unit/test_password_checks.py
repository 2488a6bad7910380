"""Slow checks of passwords: peers take turns, and what nobody waits for is not done."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from exporter.auth.password_checks import MAX_PEERS, MAX_WAITING, PasswordChecks, TooManyChecksError
from tests.support.waiting import eventually, patience


class Bench:
    """Checks that wait until the first one may end, and the order in which they were done."""

    def __init__(self) -> None:
        self.checks = PasswordChecks()
        self.done: list[str] = []
        self.may_end = threading.Event()
        self.tasks: list[asyncio.Task[bool]] = []

    def ask(self, peer: str, name: str) -> None:
        """Begin a check named ``name``."""
        self.tasks.append(self.asked(peer, name))

    def asked(self, peer: str, name: str) -> asyncio.Task[bool]:
        """As :meth:`ask`; returns the task that waits for the result."""

        def work() -> bool:
            self.may_end.wait(patience(10))
            self.done.append(name)
            return True

        return asyncio.create_task(self.checks.check(peer, name.encode(), work))


@asynccontextmanager
async def blocked() -> AsyncIterator[Bench]:
    """A bench whose first check, of the peer 192.0.2.1, has begun and does not end."""
    bench = Bench()
    try:
        bench.ask("192.0.2.1", "first")
        await eventually(lambda: bench.checks._worker is not None and not bench.checks._peers)
        yield bench
    finally:
        bench.may_end.set()
        with suppress(TooManyChecksError):
            await asyncio.gather(*bench.tasks, return_exceptions=True)


async def test_peers_take_turns() -> None:
    """A peer with many checks delays the first check of another peer by one."""
    async with blocked() as bench:
        for number in range(MAX_WAITING):
            bench.ask("192.0.2.1", f"flood {number}")
        bench.ask("192.0.2.2", "other")
        await asyncio.sleep(0)
        bench.may_end.set()
        await asyncio.gather(*bench.tasks)
    assert bench.done[:3] == ["first", "flood 0", "other"]


@pytest.mark.parametrize("peers", [["192.0.2.1"] * 2, ["2001:db8::1", "2001:db8::ffff:1"], ["::ffff:192.0.2.1", "192.0.2.1"]])
async def test_too_many_of_one_peer(peers: list[str]) -> None:
    """A peer, which may be an IPv6 network, is refused at once if it has too many checks."""
    async with blocked() as bench:
        for number in range(MAX_WAITING):
            bench.ask(peers[0], f"flood {number}")
        await asyncio.sleep(0)
        with pytest.raises(TooManyChecksError):
            await bench.asked(peers[1], "more")
        bench.ask("192.0.2.9", "other")


async def test_too_many_peers() -> None:
    """When too many peers wait, another one is refused at once."""
    async with blocked() as bench:
        for number in range(MAX_PEERS):
            bench.ask(f"198.51.100.{number}", str(number))
        await asyncio.sleep(0)
        with pytest.raises(TooManyChecksError):
            await bench.asked("192.0.2.9", "more")


async def test_what_nobody_waits_for_is_not_done() -> None:
    """A check whose caller has left is not begun, and its place is free."""
    async with blocked() as bench:
        left = [bench.asked("192.0.2.2", f"left {number}") for number in range(MAX_WAITING)]
        await asyncio.sleep(0)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        bench.ask("192.0.2.2", "stays")
        bench.may_end.set()
        await bench.tasks[-1]
    assert bench.done == ["first", "stays"]


async def test_the_same_credentials_are_checked_once() -> None:
    """Requests with the same credentials share a check; the others still wait for it if one leaves."""
    async with blocked() as bench:
        same = [bench.asked("192.0.2.2", "same") for _ in range(20)]
        await asyncio.sleep(0)
        same[0].cancel()
        bench.may_end.set()
        assert await asyncio.gather(*same[1:]) == [True] * 19
    assert bench.done == ["first", "same"]


async def test_a_check_that_fails() -> None:
    """An error of a check is raised to its caller, and the next check is done."""
    checks = PasswordChecks()
    with pytest.raises(ZeroDivisionError):
        await checks.check("", b"1", lambda: bool(1 // 0))
    assert await checks.check("", b"2", lambda: True)
