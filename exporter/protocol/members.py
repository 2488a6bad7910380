"""Takes a JSON object or list apart where a decoder refuses it as a whole, as for one NaN or for a part that is nested too deep."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

_token: Final = re.compile(rb'[\[\]{}:,]|"(?:[^"\\]++|\\.)*+"|[^ \t\r\n\[\]{}:,"]++', re.DOTALL)


def split(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The names and values of an object, or the entries of a list with empty names, as they are written.

    What is incomplete at the end is yielded as it is. The syntax is not checked: whoever reads the values does.
    """
    depth, start, name = 0, 0, b""
    for found in _token.finditer(raw):
        mark = found[0]
        if mark in b"]}," and depth == 1:
            yield from _part(name, raw[start : found.start()])
            start, name = found.end(), b""
        elif mark == b":" and depth == 1:
            start, name = found.end(), raw[start : found.start()].strip()
        if mark in b"[{":
            start = start if depth else found.end()
            depth += 1
        elif mark in b"]}":
            depth -= 1
    if depth > 0:
        yield from _part(name, raw[start:])


def join(members: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The object with these members."""
    return b"{%b}" % b",".join(b"%b:%b" % member for member in members)


def _part(name: bytes, value: bytes) -> Iterator[tuple[bytes, bytes]]:
    value = value.strip()
    if value:
        yield name, value
