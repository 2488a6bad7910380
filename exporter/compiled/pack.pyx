# cython: language_level=3, wraparound=False
"""Packs what is known of a turn, and the values of its event into a MessagePack array (https://github.com/msgpack/msgpack/blob/master/spec.md).

Equal to what ``exporter.sessions.kept_turn`` packs in Python once both are unpacked, but shorter: a number without a fraction is written
as an integer, another in four bytes if it fits. A property test compares both.
"""

import sys

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.datetime cimport import_datetime
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from msgspec.msgpack import encode

from exporter.compiled.members cimport field_at, offset_of
from exporter.compiled.moments cimport in_utc, microseconds

import_datetime()

if sys.byteorder != "little":
    raise ImportError("the head is copied as it stands in memory: lowest byte first")

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(PyObject *text, Py_ssize_t *size) except NULL
    bint PyUnicode_CheckExact(PyObject *value)
    bint is_float "PyFloat_CheckExact"(PyObject *value)
    double double_of "PyFloat_AS_DOUBLE"(PyObject *value)
    PyObject *Py_None
    PyObject *Py_True
    PyObject *Py_False

cdef long long AFTER_34_BITS = (1 << 34) * 1_000_000

cdef extern from *:
    uint32_t swapped32 "__builtin_bswap32"(uint32_t value) noexcept
    uint64_t swapped64 "__builtin_bswap64"(uint64_t value) noexcept

cdef enum:
    ARRAY_HEAD = 3
    NO_SPANS = 0x80
    LONGEST = 10  # bytes of a time, of a number, or of a text besides its characters, at most
    MOST = 256
    ROOM = 4096
    NIL = 0xC0
    FALSE = 0xC2
    TRUE = 0xC3
    FLOAT32 = 0xCA
    FLOAT64 = 0xCB
    UINT8 = 0xCC
    UINT16 = 0xCD
    FIXSTR = 0xA0
    STR8 = 0xD9
    STR16 = 0xDA
    ARRAY16 = 0xDC
    FIXEXT4 = 0xD6
    FIXEXT8 = 0xD7
    TIMESTAMP = 0xFF
    SECONDS_BITS = 34


cdef inline unsigned char *put(unsigned char *at, unsigned char code) noexcept:
    at[0] = code
    return at + 1


cdef inline unsigned char *put8(unsigned char *at, unsigned char code, unsigned char value) noexcept:
    at[0], at[1] = code, value
    return at + 2


cdef inline unsigned char *put16(unsigned char *at, unsigned char code, unsigned int value) noexcept:
    at[0], at[1], at[2] = code, <unsigned char>(value >> 8), <unsigned char>value
    return at + 3


cdef inline unsigned char *put32(unsigned char *at, unsigned char code, uint32_t value) noexcept:
    at[0], value = code, swapped32(value)
    memcpy(at + 1, &value, 4)
    return at + 5


cdef inline unsigned char *put64(unsigned char *at, unsigned char code, uint64_t value) noexcept:
    at[0], value = code, swapped64(value)
    memcpy(at + 1, &value, 8)
    return at + 9


cdef inline unsigned char *put_float(unsigned char *at, double value) noexcept:
    cdef uint64_t bits
    cdef uint32_t short_bits, whole
    cdef float short
    memcpy(&bits, &value, sizeof(bits))
    if 0.0 <= value < 65536.0 and bits >> 63 == 0:  # but not −0
        whole = <uint32_t>value
        if <double>whole == value:
            if whole >= 256:
                return put16(at, UINT16, whole)
            return put(at, whole) if whole < 128 else put8(at, UINT8, whole)
    short = <float>value
    if <double>short == value:
        memcpy(&short_bits, &short, sizeof(short_bits))
        return put32(at, FLOAT32, short_bits)
    return put64(at, FLOAT64, bits)


cdef inline unsigned char *put_text(unsigned char *at, const char *text, Py_ssize_t size) noexcept:
    if size < 32:
        at = put(at, FIXSTR | <unsigned char>size)
    else:
        at = put8(at, STR8, size) if size < 256 else put16(at, STR16, size)
    memcpy(at, text, size)
    return at + size


cdef inline unsigned char *put_time(unsigned char *at, long long time) noexcept:
    """Write a time, in microseconds since 1970: as 32 bits of seconds, or as 30 of nanoseconds and 34 of seconds."""
    cdef uint64_t seconds = time // 1_000_000, nanoseconds = time % 1_000_000 * 1_000
    if nanoseconds == 0 and seconds >> 32 == 0:
        return put32(put(at, FIXEXT4), TIMESTAMP, <uint32_t>seconds)
    return put64(put(at, FIXEXT8), TIMESTAMP, nanoseconds << SECONDS_BITS | seconds)


cdef unsigned char *put_head(unsigned char *at, double received, written) except NULL:
    """Write what ``exporter.sessions.kept_turn`` writes before the event."""
    cdef int64_t earliest = 0, lag = 0
    cdef unsigned int stages = NO_SPANS
    cdef int stage
    if written is not None:
        earliest, lag, stages = written.earliest, written.lag, 0
        for stage in <list>written.present:
            stages |= <unsigned int>1 << stage
    memcpy(at, &received, 8)
    memcpy(at + 8, &earliest, 8)
    memcpy(at + 16, &lag, 8)
    return put(at + 24, stages)


@cython.final
cdef class Packer:
    """Packs the fields ``names`` of events of one type, in this order, but for the fields ``left_out``, which become nil.

    Raises ``ValueError`` for more than 256 fields.
    """

    cdef object _type
    cdef Py_ssize_t _count
    cdef Py_ssize_t[MOST] _offsets  # where the struct keeps a field; 0 if it is left out

    def __init__(self, event_type, tuple names, left_out):
        self._type, self._count = event_type, len(names)
        if self._count > MOST:
            raise ValueError(f"{event_type.__name__} has more than {MOST} fields")
        for place, name in enumerate(names):
            self._offsets[<Py_ssize_t>place] = 0 if name in left_out else offset_of(event_type, name)

    def pack(self, event not None, double received, written, /):
        """The event as bytes, behind when it was received and what ``written`` says; ``None`` if it takes more than 4 KiB.

        It is also ``None`` for a time that UTC has no year for. A value is ``None``, a truth value, a float, a text, a time, or whatever
        else msgspec can encode. Raises what msgspec raises, and ``TypeError`` for an event of another type. Nils at the end are not
        written.
        """
        cdef Py_ssize_t count = self._count, place, size, last = 0
        cdef unsigned char[ROOM] buffer
        cdef unsigned char *array = put_head(buffer, received, written)
        cdef unsigned char *at = array + ARRAY_HEAD
        cdef unsigned char *end = at
        cdef const char *text
        cdef PyObject *value
        cdef long long time
        if type(event) is not self._type:
            raise TypeError(f"an event of type {self._type.__name__} is packed here, not {type(event).__name__}")
        for place in range(count):
            value = field_at(event, self._offsets[place]) if self._offsets[place] else Py_None
            if value == Py_None:
                at = put(at, NIL)
                continue
            if is_float(value):
                at = put_float(at, double_of(value))
            elif PyUnicode_CheckExact(value):
                text = PyUnicode_AsUTF8AndSize(value, &size)
                if size > ROOM - (at - buffer) - LONGEST * (count - place):
                    return None
                at = put_text(at, text, size)
            elif value == Py_True or value == Py_False:
                at = put(at, TRUE if value == Py_True else FALSE)
            elif in_utc(<object>value) and 0 <= (time := microseconds(<object>value)) < AFTER_34_BITS:
                at = put_time(at, time)
            else:
                try:
                    encoded = encode(<object>value)
                except OverflowError:
                    return None
                size = PyBytes_GET_SIZE(encoded)
                if size > ROOM - (at - buffer) - LONGEST * (count - place):
                    return None
                memcpy(at, PyBytes_AS_STRING(encoded), size)
                at += size
            end, last = at, place + 1
        put16(array, ARRAY16, last)
        return PyBytes_FromStringAndSize(<char *>buffer, end - buffer)
