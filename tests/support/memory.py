"""How much memory this process uses, the exporter that a test runs within it included.

Resident memory does not tell: it grows on first use of anything, and what earlier tests freed can be filled again unseen.
"""

import ctypes
import gc
import sys
from collections.abc import Sequence
from typing import Any, ClassVar

_SMALLEST_BLOCK = 16


_FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class _Mallinfo2(ctypes.Structure):
    """See mallinfo(3)."""

    _fields_: ClassVar[Sequence[Any]] = [(name, ctypes.c_size_t) for name in _FIELDS.split()]


_mallinfo2 = ctypes.CDLL(None).mallinfo2
_mallinfo2.restype = _Mallinfo2


def bytes_in_use() -> int:
    """What is allocated now and not freed, in bytes. Each of Python's small blocks counts as the smallest."""
    gc.collect()
    info = _mallinfo2()
    return int(info.uordblks + info.hblkhd) + sys.getallocatedblocks() * _SMALLEST_BLOCK
