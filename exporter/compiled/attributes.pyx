# cython: language_level=3, wraparound=False
"""Writes the attributes of several spans in one pass over an event's fields.

Equal to what :mod:`exporter.tracing.attributes` compiles to Python, byte for byte; a property test compares them. Every write to memory
first gets its room from :meth:`AttributeWriter._room`.
"""

import sys

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError, PyDict_Next, PyDict_Size
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_Compare, PyUnicode_GET_LENGTH
from libc.string cimport memcpy

from exporter.compiled.members cimport field_at
from exporter.compiled.varint cimport put_varint, varint_size

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    unsigned long long PyLong_AsUnsignedLongLongMask(object number) except? 0xFFFFFFFFFFFFFFFF

if sys.byteorder != "little":
    raise ImportError("this module copies doubles in the machine's byte order, which must be little-endian, as protobuf's is")

cdef enum:
    DOUBLE, INTEGER, NONZERO, BOOLEAN, TEXT, CACHED, WRITTEN
    MAX_ALIASES = 4  # the places of an Entry but one
    MAX_AROUND = 32  # bytes around an attribute's key and value: tags, lengths, a number

_KINDS = {
    "double": DOUBLE, "integer": INTEGER, "nonzero": NONZERO, "boolean": BOOLEAN, "text": TEXT, "cached": CACHED, "written": WRITTEN
}

cdef bint same_flags(dict one, dict other) except -1:
    """Whether both have the same names in the same order, with the same flags. Anything but a flag is never the same."""
    cdef PyObject *name
    cdef PyObject *flag
    cdef PyObject *other_name
    cdef PyObject *other_flag
    cdef Py_ssize_t at = 0, other_at = 0
    if PyDict_Size(one) != PyDict_Size(other):
        return False
    while PyDict_Next(one, &at, &name, &flag):
        PyDict_Next(other, &other_at, &other_name, &other_flag)
        if flag != other_flag or (<object>flag is not True and <object>flag is not False):
            return False
        if name != other_name and PyUnicode_Compare(<str>name, <str>other_name):
            return False
    return True


@cython.final
cdef class AttributeWriter:
    """Writes attributes in field ``field`` of spans, from events that have their fields at ``offsets``.

    ``spans`` has the :class:`exporter.tracing.turn_attributes.AttributeEntry` items of each span. Texts are cut to ``length`` characters.
    Each event is written over the one before, to ``buffer``. Raises ``ValueError`` for an entry that would read or write beyond its memory.
    """

    def __cinit__(self, list spans, list offsets, unsigned char field, Py_ssize_t length):
        cdef Py_ssize_t number = sum([len(entries) for entries in spans])
        self._capacity = 4096
        self._entries = <Entry *>PyMem_Malloc((number + 1) * sizeof(Entry))
        self._ends = <Py_ssize_t *>PyMem_Malloc((len(spans) + 1) * sizeof(Py_ssize_t))
        self.buffer = <unsigned char *>PyMem_Malloc(self._capacity)
        if self._entries == NULL or self._ends == NULL or self.buffer == NULL:
            raise MemoryError
        self._tag, self._length = field << 3 | 2, length
        self._kept, self._writes, self._last = [], [], []
        for entries in spans:
            for entry in entries:
                self._add(entry, offsets)
            self._ends[self.spans] = len(self._writes)
            self.spans += 1

    def __dealloc__(self):
        PyMem_Free(self._entries)
        PyMem_Free(self._ends)
        PyMem_Free(self.buffer)

    cdef int _add(self, entry, list offsets) except -1:
        kind, places, divisor, head, no, write = entry
        if not 1 <= len(places) <= 1 + MAX_ALIASES or not all([0 <= place < len(offsets) for place in places]):
            raise ValueError(f"{places} must be the places of a field and up to {MAX_ALIASES} aliases, below {len(offsets)}")
        cdef Entry *e = &self._entries[len(self._writes)]
        e.kind, e.divisor, e.fields = _KINDS[kind], divisor, len(places)
        for number, place in enumerate(places):
            e.field[number] = offsets[place]
        e.head, e.head_size = PyBytes_AS_STRING(<bytes?>head), PyBytes_GET_SIZE(<bytes?>head)
        e.no, e.no_size = PyBytes_AS_STRING(<bytes?>no), PyBytes_GET_SIZE(<bytes?>no)
        if (e.kind == INTEGER or e.kind == NONZERO) and e.head_size > 100:
            raise ValueError("the key of an integer attribute may take up to 100 bytes")
        if (e.kind == CACHED and not isinstance(write, dict)) or (e.kind == WRITTEN and not callable(write)):
            raise ValueError(f"{write!r} cannot write values of kind {kind}")
        self._kept += (head, no)
        self._writes.append(write)
        self._last.append(None)
        return 0

    cdef int write(self, event, Py_ssize_t *ends) except -1:
        """Write the attributes for an event; ``ends`` gets the offset after each span's. The caller has checked the event's type."""
        cdef Py_ssize_t place = 0, span
        cdef Entry *e
        cdef PyObject *value
        cdef int number
        self._size = 0
        for span in range(self.spans):
            while place < self._ends[span]:
                e = &self._entries[place]
                for number in range(e.fields):
                    value = field_at(event, e.field[number])
                    if value != <PyObject *>None:
                        self._attribute(e, place, <object>value)
                        break
                place += 1
            ends[span] = self._size
        return 0

    cdef unsigned char *_room(self, Py_ssize_t size) except NULL:
        """Make room for ``size`` bytes; returns where to write them."""
        cdef Py_ssize_t capacity
        cdef unsigned char *grown
        if self._size + size > self._capacity:
            capacity = 2 * (self._size + size)
            grown = <unsigned char *>PyMem_Realloc(self.buffer, capacity)
            if grown == NULL:
                raise MemoryError
            self.buffer, self._capacity = grown, capacity
        return self.buffer + self._size

    cdef int _copy(self, const char *data, Py_ssize_t size) except -1:
        memcpy(self._room(size), data, size)
        self._size += size
        return 0

    cdef int _attribute(self, Entry *e, Py_ssize_t place, object value) except -1:
        cdef bytes written
        if e.kind == DOUBLE:
            self._double(e, value)
        elif e.kind == INTEGER:
            self._integer(e, value)
        elif e.kind == NONZERO:
            if value:
                self._integer(e, value)
        elif e.kind == TEXT:
            self._text(e, value)
        elif e.kind == CACHED or e.kind == WRITTEN:
            written = self._cached(place, value) if e.kind == CACHED else self._written(place, value)
            self._copy(PyBytes_AS_STRING(written), PyBytes_GET_SIZE(written))
        elif value:
            self._copy(e.head, e.head_size)
        else:
            self._copy(e.no, e.no_size)
        return 0

    cdef bytes _cached(self, Py_ssize_t place, object value):
        """The attribute from the entry's cache, which makes it if it is missing."""
        cdef object cache = self._writes[place]
        cdef PyObject *found = PyDict_GetItemWithError(cache, value)
        return <bytes?>found if found != NULL else cache[value]  # calls __missing__

    cdef bytes _written(self, Py_ssize_t place, object value):
        """What the entry's function writes. Flags that are the same as in the event before, in the same order, are not written again."""
        cdef object last = self._last[place], made
        if type(value) is not dict:
            return <bytes?>self._writes[place](value)
        if last is None or not same_flags(<dict>(<tuple>last)[0], <dict>value):
            made = <bytes?>self._writes[place](value)
            last = self._last[place] = (value, made)
        return <bytes>(<tuple>last)[1]

    cdef int _double(self, Entry *e, object value) except -1:
        cdef double number = <double>value / e.divisor
        cdef unsigned char *at = self._room(e.head_size + 8)
        memcpy(at, e.head, e.head_size)
        memcpy(at + e.head_size, &number, 8)
        self._size += e.head_size + 8
        return 0

    cdef int _integer(self, Entry *e, object value) except -1:
        cdef unsigned long long number
        cdef Py_ssize_t size
        cdef unsigned char *at
        if PyFloat_CheckExact(value) and 0.0 <= PyFloat_AS_DOUBLE(value) < 9.0e18:
            number = <unsigned long long>PyFloat_AS_DOUBLE(value)
        else:
            number = PyLong_AsUnsignedLongLongMask(int(value))
        size = varint_size(number)
        at = self._room(e.head_size + MAX_AROUND)
        at[0], at[1] = self._tag, <unsigned char>(e.head_size + 3 + size)
        memcpy(at + 2, e.head, e.head_size)
        at += 2 + e.head_size
        at[0], at[1], at[2] = 0x12, <unsigned char>(1 + size), 0x18  # value = 2, within it int_value = 3
        put_varint(at + 3, number)
        self._size += 5 + e.head_size + size
        return 0

    cdef int _text(self, Entry *e, str value) except -1:
        cdef Py_ssize_t size, inner, outer
        cdef const char *data
        cdef unsigned char *at
        cdef unsigned char *begun
        if PyUnicode_GET_LENGTH(value) > self._length:
            value = value[:self._length]
        data = PyUnicode_AsUTF8AndSize(value, &size)
        inner = 1 + varint_size(size) + size
        outer = e.head_size + 1 + varint_size(inner) + inner
        begun = at = self._room(outer + MAX_AROUND)
        at[0] = self._tag
        at = put_varint(at + 1, outer)
        memcpy(at, e.head, e.head_size)
        at += e.head_size
        at[0] = 0x12  # value = 2
        at = put_varint(at + 1, inner)
        at[0] = 0x0A  # string_value = 1
        at = put_varint(at + 1, size)
        memcpy(at, data, size)
        self._size += at + size - begun
        return 0
