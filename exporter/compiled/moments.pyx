# cython: language_level=3
"""Reads times that the decoder has made. Equal to the methods of :mod:`datetime`, to the last bit; a property test compares them."""

from datetime import datetime

from cpython.datetime cimport import_datetime

import_datetime()

_timestamp = datetime.timestamp
cdef long long EXACT = 1 << 53  # up to here a double holds every whole number


cpdef double unix_seconds(stamp) except? -1.0:
    """As ``stamp.timestamp()``."""
    cdef long long found
    if in_utc(stamp):
        found = microseconds(stamp)
        if -EXACT < found < EXACT:
            return <double>found / 1e6
    return _timestamp(stamp)


def seconds_between(start, end, /):
    """As ``(end - start).total_seconds()``."""
    cdef long long found
    if in_utc(start) and in_utc(end):
        found = microseconds(end) - microseconds(start)
        if -EXACT < found < EXACT:
            return <double>found / 1e6
    return (end - start).total_seconds()
