"""Takes a JSON object or list apart where a decoder refuses it as a whole, as for one NaN or for a part that is nested too deep."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

MOST_STEPS: Final = 80_000
"""Marks and strings that are read of one frame: all those of 64 KiB. More would delay other calls: the rest is one unreadable value."""

_token: Final = re.compile(rb'[\[\]{}:,]|"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A mark or a string. A string that does not end is the rest of the text, so that nothing is searched twice."""
_OPENING: Final = frozenset({b"[", b"{"})
_CLOSING: Final = frozenset({b"]", b"}"})


def split(raw: bytes, most_steps: int | None = None) -> Iterator[tuple[bytes, bytes]]:
    """The names and values of an object, or the entries of a list with empty names, as they are written.

    What is incomplete at the end is yielded as it is. The syntax is not checked: whoever reads the values does.
    """
    depth, start, name = 0, 0, b""
    for found in islice(_token.finditer(raw), most_steps):
        mark = found[0]
        if mark in _OPENING:
            if depth == 0:
                start = found.end()
            depth += 1
        elif mark in _CLOSING:
            if depth == 1:
                yield from _part(name, raw[start : found.start()])
                name = b""
            depth -= 1
        elif depth == 1 and mark == b",":
            yield from _part(name, raw[start : found.start()])
            start, name = found.end(), b""
        elif depth == 1 and mark == b":":
            start, name = found.end(), raw[start : found.start()].strip()
    if depth > 0:
        yield from _part(name, raw[start:])


def join(members: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The object with these members."""
    return b"{%b}" % b",".join(b"%b:%b" % member for member in members)


def _part(name: bytes, value: bytes) -> Iterator[tuple[bytes, bytes]]:
    value = value.strip()
    if value:
        yield name, value
