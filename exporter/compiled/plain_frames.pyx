# cython: language_level=3, wraparound=False, boundscheck=False, cdivision=True
"""Reads frames of one event type in which everything is as it usually is, or nearly so.

It has no rules of its own: what it reads is what ``exporter.protocol.decoder`` reads, and the rest is left to that decoder, value by value
or frame by frame. A property test compares both.
"""

cimport cython

from datetime import datetime
from typing import Annotated

import msgspec

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.datetime cimport datetime_new, get_utc, import_datetime
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

from exporter.compiled.members cimport offset_of
from exporter.compiled.plain_text cimport (
    BACKSLASH, CLOSING_BRACE, CLOSING_BRACKET, COLON, COMMA, DASH, E, MOST_DIGITS, N, OPENING_BRACE, OPENING_BRACKET, POINT, QUOTE, SPACE,
    T, Z, ZERO, Text, after_scalar, after_word, begins, digits, end_of_plain, is_digit, unquoted, word_at,
)

import_datetime()

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 most)
    void *PyUnicode_DATA(PyObject *text)
    bint PyUnicode_IS_COMPACT_ASCII(PyObject *text)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *text)

cdef enum:
    NUMBER, TEXT, NAME, FLAG, TIME, FLAGS, UNKNOWN, OTHER
    SECONDS_END = 19  # where the seconds of a time end
    MOST_FIELDS = 512
    SMALL = 256  # whole numbers below have one object each
    LONGEST_NAME = 40
    MOST_SEARCHED = 16  # keys of a frame that may come in another order than in the last one
    LONGEST_PAUSE = 63
    MOST_NESTED = 8
    POWERS = 20

cdef uint64_t EXACT = 1 << 53  # up to here a double holds every whole number
cdef double power[POWERS]
cdef int _place
for _place in range(POWERS):
    power[_place] = 10.0 ** _place  # exact, so that one division rounds as if the number were converted at once

cdef dict _small = {number: float(number) for number in range(SMALL)}
cdef PyObject *small_number[SMALL]
for _place in range(SMALL):
    small_number[_place] = <PyObject *>_small[_place]

cdef object number_of = msgspec.json.Decoder(float).decode
cdef object text_of = msgspec.json.Decoder(str).decode
cdef object time_of = msgspec.json.Decoder(Annotated[datetime, msgspec.Meta(tz=True)]).decode
cdef tuple REFUSALS = (msgspec.MsgspecError, UnicodeError, RecursionError)

cdef inline bint is_key(KnownField *known, Text at, Text end) noexcept:
    """Whether the field's key stands here, with a byte behind it. The key's last eight bytes may be compared twice."""
    cdef Py_ssize_t place = 0, last = known.key_size - 8
    if end - at <= known.key_size:
        return False
    if last < 0:
        return memcmp(at, known.key, known.key_size) == 0
    while place < last:
        if word_at(at + place) != word_at(known.key + place):
            return False
        place += 8
    return word_at(at + last) == word_at(known.key + last)


cdef inline object new_text(Text at, Py_ssize_t size):
    """A text of ASCII characters."""
    made = PyUnicode_New(size, 127)
    memcpy(PyUnicode_DATA(<PyObject *>made), at, size)
    return made


cdef Text after_value(Text at, Text end, int depth) noexcept:
    """What follows the value that stands here, or NULL if it is none, an unusual one, or one that is nested more than ``depth`` times."""
    cdef bint is_object = at[0] == OPENING_BRACE
    if at[0] == N:
        return after_word(at, end, "null", 4)
    if not is_object and at[0] != OPENING_BRACKET:
        return after_scalar(at, end)
    if not depth:
        return NULL
    at += 1
    if at[0] == (CLOSING_BRACE if is_object else CLOSING_BRACKET):
        return at + 1
    while True:
        if is_object:
            if at[0] != QUOTE:
                return NULL
            at = end_of_plain(at + 1, end)
            if at[0] != QUOTE or at[1] != COLON:
                return NULL
            at += 3 if at[2] == SPACE else 2
        at = after_value(at, end, depth - 1)
        if at == NULL or at[0] != COMMA:
            break
        at += 2 if at[1] == SPACE else 1
    return at + 1 if at != NULL and at[0] == (CLOSING_BRACE if is_object else CLOSING_BRACKET) else NULL


cdef object time_at(Text at, Text end):
    """The time in the bytes, or ``None`` if it cannot be read."""
    cdef int year, month, day, hour, minute, second, microsecond = 0
    cdef Py_ssize_t decimals = end - at - SECONDS_END - 2
    if end - at > SECONDS_END and at[4] == at[7] == DASH and at[10] == T and at[13] == at[16] == COLON and (end - 1)[0] == Z and (
        decimals == -1 or (at[SECONDS_END] == POINT and 1 <= decimals <= 6)):
        year, month, day = digits(at, 4), digits(at + 5, 2), digits(at + 8, 2)
        hour, minute, second = digits(at + 11, 2), digits(at + 14, 2), digits(at + 17, 2)
        if decimals > 0:
            microsecond = digits(at + SECONDS_END + 1, decimals)
            microsecond = -1 if microsecond < 0 else microsecond * <int>power[6 - decimals]
        if min(year - 1, month - 1, day - 1, hour, minute, second, microsecond) >= 0 and (
            month <= 12 and day <= (28 if month == 2 else 30) and hour < 24 and minute < 60 and second < 60):
            return datetime_new(year, month, day, hour, minute, second, microsecond, get_utc())
    try:
        return time_of(PyBytes_FromStringAndSize(<char *>at - 1, end - at + 2))
    except REFUSALS:
        return None


cdef inline void fill(PyObject **slot, value) noexcept:
    """Put a value in the place of another one."""
    cdef PyObject *before = slot[0]
    Py_INCREF(value)
    slot[0] = <PyObject *>value
    Py_XDECREF(before)


cdef int kind_of(field) except -1:
    """How the values of a field are read, see :class:`exporter.protocol.plausible_values.Field`."""
    if field.least <= field.most:
        return NUMBER
    if field.hint == dict[str, bool]:
        return FLAGS
    if getattr(field.hint, "__origin__", None) is datetime:
        return TIME
    return TEXT if field.plain is str else FLAG if field.plain is bool else OTHER


@cython.final
cdef class PlainFrames:
    """Reads frames of an event type. ``fields`` says for each key what :data:`exporter.protocol.plausible_values.FIELDS` does.

    The fields ``repeated`` have texts that come again and again. ``unknown`` are keys that the type does not have and that come
    nevertheless. ``with_flaws`` makes what is returned for a frame with flaws: it is called with the event, the refused values as pairs
    of a key and a number out of its range, or ``None`` for a value of a wrong type, and the keys that are unknown. Raises ``ValueError``
    for a type that cannot be read here.
    """

    def __cinit__(self, event_type, dict fields not None, repeated, unknown, with_flaws):
        cdef KnownField *known
        cdef int number
        empty, config = event_type(), event_type.__struct_config__
        if len(fields) + len(unknown) > MOST_FIELDS or set(msgspec.structs.astuple(empty)) != {None} or empty.__copy__() is empty:
            raise ValueError(f"{event_type.__name__} is no event that can be read here")
        self._copy, self._count, self._with_flaws = empty.__copy__, len(fields) + len(unknown), with_flaws
        self._texts = [*fields, *unknown]
        self._keys = [f'"{key}":'.encode() for key in self._texts]
        self._begin = f'{{"{config.tag_field}":"{config.tag}"'.encode()
        self._spaced_begin = self._begin.replace(b'":"', b'": "')
        self._fields = <KnownField *>PyMem_Calloc(self._count + 1, sizeof(KnownField))
        if self._fields == NULL:
            raise MemoryError
        for number in range(self._count):
            known = &self._fields[number]
            known.kind, known.next = UNKNOWN, (number + 1) % self._count
            known.key, known.key_size = <Text>PyBytes_AS_STRING(self._keys[number]), PyBytes_GET_SIZE(self._keys[number])
        for number, field in enumerate(fields.values()):
            known = &self._fields[number]
            known.kind, known.offset = kind_of(field), offset_of(event_type, field.attribute)
            known.least, known.most = field.least, field.most
            if known.kind == TEXT and field.attribute in repeated:
                known.kind = NAME

    def __dealloc__(self):
        cdef int place
        for place in range(NAMES):
            Py_XDECREF(self._names[place])
        PyMem_Free(self._fields)

    cpdef read(self, frame):
        """The event in a frame, or what ``with_flaws`` makes of it, or ``None`` if another decoder has to read the frame.

        After frames that could not be read, some are not tried.
        """
        cdef Text at
        cdef Py_ssize_t size
        if PyUnicode_CheckExact(frame) and PyUnicode_IS_COMPACT_ASCII(<PyObject *>frame):
            at, size = <Text>PyUnicode_DATA(<PyObject *>frame), PyUnicode_GET_LENGTH(<PyObject *>frame)
        elif PyUnicode_CheckExact(frame):
            try:
                at = <Text>PyUnicode_AsUTF8AndSize(frame, &size)
            except UnicodeError:
                return None
        elif PyBytes_CheckExact(frame):
            at, size = <Text>PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame)
        else:
            return None
        if begins(at, at + size, self._begin):
            at, size = at + PyBytes_GET_SIZE(self._begin), size - PyBytes_GET_SIZE(self._begin)
        elif begins(at, at + size, self._spaced_begin):
            at, size = at + PyBytes_GET_SIZE(self._spaced_begin), size - PyBytes_GET_SIZE(self._spaced_begin)
        else:
            return None
        if self._left:
            self._left -= 1
            return None
        event = self._copy()
        self._refused = self._unknown = None
        if self._members(<PyObject *>event, at, at + size):
            self._pause = 0
            if self._refused is None and self._unknown is None:
                return event
            return self._with_flaws(event, self._refused or (), self._unknown or ())
        self._left = self._pause = min(2 * self._pause + 1, LONGEST_PAUSE)
        return None

    cdef bint _members(self, PyObject *event, Text at, Text end) except -1:
        """Read all members of the object but the first. Returns whether they were all read."""
        cdef int field = self._count
        cdef KnownField *known
        self._frame += 1
        self._searched = 0
        while at[0] == COMMA:
            at += 2 if at[1] == SPACE else 1
            field = self._field(field, at, end)
            if field < 0:
                return False
            known = &self._fields[field]
            if known.frame == self._frame:
                return False
            known.frame = self._frame
            at += known.key_size
            at = self._value(known, <PyObject **>(<char *>event + known.offset), at + (at[0] == SPACE), end)
            if at == NULL:
                return False
        return at[0] == CLOSING_BRACE and at + 1 == end

    cdef int _field(self, int before, Text at, Text end) noexcept:
        """Which field's key stands here, or -1. It is looked for where it was the last time, and then among all."""
        cdef int field = self._fields[before].next
        if is_key(&self._fields[field], at, end):
            return field
        self._searched += 1
        if self._searched > MOST_SEARCHED:
            return -1
        for field in range(self._count):
            if is_key(&self._fields[field], at, end):
                self._fields[before].next = field
                return field
        return -1

    cdef Text _value(self, KnownField *known, PyObject **slot, Text at, Text end) except? NULL:
        """Read the value that stands here. Returns what follows it, or NULL if it cannot be read."""
        if known.kind == UNKNOWN:
            return self._unknown_value(known, at, end)
        if at[0] == N:
            return after_word(at, end, "null", 4)
        if known.kind == NUMBER:
            return self._number(known, slot, at, end)
        if known.kind == FLAG:
            return self._flag(known, slot, at, end)
        if known.kind == FLAGS:
            return self._flags(slot, at, end)
        if known.kind == OTHER:
            return NULL
        return self._text(known, slot, at, end)

    cdef Text _flag(self, KnownField *known, PyObject **slot, Text at, Text end) except? NULL:
        cdef Text after = after_word(at, end, "true", 4)
        if after != NULL:
            fill(slot, True)
            return after
        after = after_word(at, end, "false", 5)
        if after == NULL:
            return self._wrong_type(known, at, end)
        fill(slot, False)
        return after

    cdef Text _unknown_value(self, KnownField *known, Text at, Text end) except? NULL:
        """Pass over the value of a key that the type does not have, and note the key."""
        cdef Text after = after_value(at, end, MOST_NESTED)
        if after != NULL:
            if self._unknown is None:
                self._unknown = []
            self._unknown.append(self._texts[known - self._fields])
        return after

    cdef Text _wrong_type(self, KnownField *known, Text at, Text end) except? NULL:
        """Pass over a value whose type is not the field's, and note that it is refused."""
        cdef Text after = after_scalar(at, end)
        if after != NULL:
            self._refuse(known, None)
        return after

    cdef int _refuse(self, KnownField *known, value) except -1:
        if self._refused is None:
            self._refused = []
        self._refused.append((self._texts[known - self._fields], value))
        return 0

    cdef Text _number(self, KnownField *known, PyObject **slot, Text at, Text end) except? NULL:
        cdef Text begin = at
        cdef uint64_t whole = 0
        cdef Py_ssize_t decimals = 0
        cdef double value
        while is_digit(at[0]):
            whole = whole * 10 + at[0] - ZERO
            at += 1
        if at == begin or (begin[0] == ZERO and at - begin > 1):
            return self._unusual_number(known, slot, begin, end)
        if at[0] == POINT:
            decimals = -(at - begin)
            at += 1
            while is_digit(at[0]):
                whole = whole * 10 + at[0] - ZERO
                at += 1
            decimals += at - begin - 1
            if not decimals:
                return self._unusual_number(known, slot, begin, end)
        if at - begin > MOST_DIGITS or whole >= EXACT or (at[0] | 0x20) == E:
            return self._unusual_number(known, slot, begin, end)
        value = <double>whole
        if decimals:
            value /= power[decimals]
        if not known.least <= value <= known.most:
            self._refuse(known, value)
            return at
        if whole < SMALL and not decimals:
            fill(slot, <object>small_number[whole])
        else:
            fill(slot, value)
        return at

    cdef Text _unusual_number(self, KnownField *known, PyObject **slot, Text at, Text end) except? NULL:
        """Let msgspec read the number, if it is one."""
        cdef Text begin = at
        cdef double value
        if not is_digit(at[0]) and at[0] != DASH:
            return self._wrong_type(known, at, end)
        while is_digit(at[0]) or at[0] in b"+-.eE":
            at += 1
        try:
            value = number_of(PyBytes_FromStringAndSize(<char *>begin, at - begin))
        except REFUSALS:
            return NULL
        if known.least <= value <= known.most:
            fill(slot, value)
        else:
            self._refuse(known, value)
        return at

    cdef Text _text(self, KnownField *known, PyObject **slot, Text at, Text end) except? NULL:
        cdef Text begin = at + 1, stop
        if at[0] != QUOTE:
            return self._wrong_type(known, at, end)
        stop = end_of_plain(begin, end)
        if stop[0] != QUOTE:
            return self._unusual_text(known, slot, at, unquoted(stop, end))
        if known.kind == NAME:
            fill(slot, self._name(begin, stop - begin))
        elif known.kind == TEXT:
            fill(slot, new_text(begin, stop - begin))
        else:
            found = time_at(begin, stop)
            if found is None:
                return NULL
            fill(slot, found)
        return stop + 1

    cdef Text _unusual_text(self, KnownField *known, PyObject **slot, Text at, Text stop) except? NULL:
        """Let msgspec read the text, which ends with the quote at ``stop``, or not at all."""
        if stop == NULL or known.kind == TIME:
            return NULL
        try:
            fill(slot, text_of(PyBytes_FromStringAndSize(<char *>at, stop + 1 - at)))
        except REFUSALS:
            return NULL
        return stop + 1

    cdef Text _flags(self, PyObject **slot, Text at, Text end) except? NULL:
        """Read an object whose values are flags."""
        cdef dict found = {}
        cdef Text begin, after
        while at[0] == (COMMA if found else OPENING_BRACE):
            at += 2 if at[1] == SPACE and found else 1
            begin = at + 1
            if at[0] != QUOTE:
                return NULL
            at = end_of_plain(begin, end)
            if at[0] != QUOTE or at[1] != COLON:
                return NULL
            name = self._name(begin, at - begin)
            at += 3 if at[2] == SPACE else 2
            after = after_word(at, end, "true", 4)
            found[name] = after != NULL
            at = after if after != NULL else after_word(at, end, "false", 5)
            if at == NULL:
                return NULL
        if at[0] != CLOSING_BRACE or not found:
            return NULL
        fill(slot, found)
        return at + 1

    cdef object _name(self, Text at, Py_ssize_t size):
        """The text, which is one object if it came last of those that have the same place."""
        cdef PyObject **place
        if not 0 < size <= LONGEST_NAME:
            return new_text(at, size)
        place = &self._names[(at[0] * 7 + at[size - 1] * 31 + at[size // 2] * 13 + size) % NAMES]
        if place[0] == NULL or PyUnicode_GET_LENGTH(place[0]) != size or memcmp(PyUnicode_DATA(place[0]), at, size) != 0:
            fill(place, new_text(at, size))
        return <object>place[0]
