# cython: language_level=3
"""Reads times that the decoder has made. Equal to the methods of :mod:`datetime`, to the last bit; a property test compares them."""

from datetime import datetime

from cpython.datetime cimport (
    PyDateTime_CheckExact, datetime_day, datetime_hour, datetime_microsecond, datetime_minute, datetime_month, datetime_second,
    datetime_tzinfo, datetime_year, get_utc, import_datetime,
)

import_datetime()

_timestamp = datetime.timestamp
cdef long long EXACT = 1 << 53  # up to here a double holds every whole number


cdef inline bint in_utc(stamp) noexcept:
    return PyDateTime_CheckExact(stamp) and datetime_tzinfo(stamp) is get_utc()


cdef inline long long microseconds(stamp) noexcept:
    """Microseconds from 1970 to a date-time in UTC. The year begins in March here, so that a leap day is its last one."""
    cdef long long month = datetime_month(stamp), year = datetime_year(stamp) - (month <= 2)
    cdef long long day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + datetime_day(stamp) - 1
    cdef long long days = year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719_468
    cdef long long seconds = days * 86_400 + datetime_hour(stamp) * 3_600 + datetime_minute(stamp) * 60 + datetime_second(stamp)
    return seconds * 1_000_000 + datetime_microsecond(stamp)


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
