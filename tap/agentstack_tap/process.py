"""Tells a process from the one that it was forked from. To ask the system for its id takes longer than to queue an event."""

import itertools
import os
from typing import Final

_numbers: Final = itertools.count(1)
number = 0
"""Another one in each forked process, counted along the line of forks."""


def _next() -> None:
    global number  # noqa: PLW0603 - there is one process
    number = next(_numbers)


if hasattr(os, "register_at_fork"):  # not where processes do not fork
    os.register_at_fork(after_in_child=_next)
