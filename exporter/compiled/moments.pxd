# For compiled modules that read times; each calls import_datetime() first.
from cpython.datetime cimport (
    PyDateTime_CheckExact, datetime_day, datetime_hour, datetime_microsecond, datetime_minute, datetime_month, datetime_second,
    datetime_tzinfo, datetime_year, get_utc,
)

cpdef double unix_seconds(stamp) except? -1.0


cdef inline bint in_utc(stamp) noexcept:
    return PyDateTime_CheckExact(stamp) and datetime_tzinfo(stamp) is get_utc()


cdef inline long long microseconds(stamp) noexcept:
    """Microseconds from 1970 to a date-time in UTC. The year begins in March here, so that a leap day is its last one."""
    cdef long long month = datetime_month(stamp), year = datetime_year(stamp) - (month <= 2)
    cdef long long day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + datetime_day(stamp) - 1
    cdef long long days = year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719_468
    cdef long long seconds = days * 86_400 + datetime_hour(stamp) * 3_600 + datetime_minute(stamp) * 60 + datetime_second(stamp)
    return seconds * 1_000_000 + datetime_microsecond(stamp)
