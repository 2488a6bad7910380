"""Serialised spans that are complete at the same moment, joined as they stand in a request."""

from abc import ABCMeta
from collections.abc import Iterator, Sequence
from typing import overload

import msgspec


class _StructSequenceMeta(msgspec.StructMeta, ABCMeta):
    """The metaclass of a struct that is a sequence."""


class SpanBatch(msgspec.Struct, Sequence[bytes], metaclass=_StructSequenceMeta, gc=False):
    """A sequence of ``Span`` messages that were written one after the other, each with tag and length in front.

    ``body`` holds them so, and ``items`` is how many there are. It is queued and sent as it is; only who needs the spans one by one has
    them split. It is a struct because every turn makes one: that takes half the time, and the garbage collector does not look at it.
    """

    body: bytes
    items: int

    def __len__(self) -> int:
        return self.items

    def __iter__(self) -> Iterator[bytes]:
        body, at = self.body, 0
        while at < len(body):
            at += 1  # the tag
            length = shift = 0
            while body[at] & 0x80:
                length |= (body[at] & 0x7F) << shift
                shift += 7
                at += 1
            length |= body[at] << shift
            yield body[at + 1 : at + 1 + length]
            at += 1 + length

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        return list(self)[index]
