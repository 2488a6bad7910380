"""Runs generated Python text, which defines a function.

Recorders and span attributes are written out as Python at start, a few lines a field. The same declarations give the same text, so it
is compiled once in a process, however many pipelines are made.
"""

import functools
from types import CodeType
from typing import Any


def run_generated(source: str, names: dict[str, Any], title: str) -> None:
    """Run ``source`` with ``names`` as its globals; what it defines is in ``names`` afterwards.

    ``title`` is what a traceback shows instead of a file name.
    """
    exec(_code(source, title), names)  # noqa: S102 - written from our own declarations


@functools.cache
def _code(source: str, title: str) -> CodeType:
    return compile(source, f"<{title}>", "exec")
