"""Work that may never return, such as reading a file on a disk that hangs, in threads that nothing waits for."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def run_in_thread(function: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Run ``function`` in a daemon thread, and return the future of its result.

    Unlike a thread of the loop's executor, it takes no place from other work and does not delay the end of the process.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(act: Callable[[], None]) -> None:
        if not future.done():
            act()

    def run() -> None:
        act: Callable[[], None]
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
            failure = error
            act = lambda: future.set_exception(failure)  # noqa: E731 - it goes to the loop
        else:
            act = lambda: future.set_result(result)  # noqa: E731 - it goes to the loop
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants the result any more
            loop.call_soon_threadsafe(deliver, act)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
