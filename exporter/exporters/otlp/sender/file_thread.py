"""A thread for work on files, which may hang: a network disk can keep a call for hours.

It is a daemon thread, so that the process can end all the same. The threads of ``asyncio.to_thread`` are waited for at the end.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from threading import Lock, Thread
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Callable[[], Any]]


class FileThread:
    """Runs one call after the other, in the order of :meth:`submit`. The thread ends when there is no call left."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: deque[_Job] = deque()
        self._lock = Lock()
        self._running = False

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run ``work``; the future has its result. It is not run if the future is cancelled before its turn."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        future.add_done_callback(_retrieve)
        with self._lock:
            self._jobs.append((loop, future, work))
            begin, self._running = not self._running, True
        if begin:
            Thread(target=self._run, name=self._name, daemon=True).start()
        return future

    def close(self) -> None:
        """Forget the calls that have not begun, and leave one that hangs behind."""
        with self._lock:
            self._jobs.clear()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._running = False
                    return
                loop, future, work = self._jobs.popleft()
            if not future.cancelled():
                _do(loop, future, work)


def _do(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], work: Callable[[], Any]) -> None:
    result, failure = None, None
    try:
        result = work()
    except Exception as error:  # noqa: BLE001 - it is raised where the future is awaited
        failure = error
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(_settle, future, result, failure)


def _settle(future: asyncio.Future[Any], result: object, failure: Exception | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Mark an exception as seen: nobody may wait for the result any more."""
    if not future.cancelled():
        future.exception()
