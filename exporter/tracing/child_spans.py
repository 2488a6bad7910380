"""The spans of a turn's children, put together from parts that are serialised already."""

from collections.abc import Callable
from typing import Final

from exporter import compiled
from exporter.tracing.encoder import EDGES, event

Found = tuple[list[int], list[int], list[int], list[bytes], tuple[float | None, ...], int]
"""What a turn says of its children.

Which are present, when each began and ended (unix nanoseconds), its attributes, how many milliseconds after its beginning it is
marked, and which of them failed, -1 for none.
"""
Parts = tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, bytes]]
"""By child: serialised name, constant attributes, and the name of its mark; and what ends a span that did not fail, or did."""
Within = tuple[bytes, bytes, bytes]
"""Where children belong: serialised trace, the turn's span id (theirs differ in the last byte), the same serialised as a parent."""

_BYTES: Final = tuple(bytes((number,)) for number in range(256))


def in_python(found: Found, parts: Parts, within: Within) -> list[bytes]:
    """The spans of the children that are present."""
    present, starts, ends, attributes, marked, failed = found
    names, constants, marks, tails = parts
    trace, span, parent = within
    prefix, last = trace + span[:7], span[7]
    spans = []
    for child in present:
        start, at = starts[child], marked[child]
        mark = b"" if at is None else event(start + int(at * 1e6), marks[child])
        spans.append(
            b"".join((
                prefix, _BYTES[last ^ child + 1], parent, names[child], EDGES.pack(0x39, start, 0x41, ends[child]),
                constants[child], attributes[child], mark, tails[child == failed],
            ))
        )  # fmt: skip
    return spans


child_spans: Final[Callable[[Found, Parts, Within], list[bytes]]] = compiled.child_spans or in_python
"""As :func:`in_python`, by way of C where that is compiled."""
