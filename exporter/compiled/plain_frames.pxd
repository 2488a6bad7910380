# Types of plain_frames.pyx, for the compiled learning_decoder.py.
cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from exporter.compiled.plain_text cimport Text

cdef enum:
    NAMES = 256  # places for texts that come again and again

cdef struct KnownField:
    int kind
    int next  # the field that came after this one the last time
    Py_ssize_t offset
    Text key  # with its quotes and the colon
    Py_ssize_t key_size
    double least
    double most
    uint64_t frame  # the last frame with this field

@cython.final
cdef class PlainFrames:
    cdef object _copy, _with_flaws
    cdef list _keys, _texts, _refused, _unknown
    cdef bytes _begin, _spaced_begin
    cdef int _count, _searched, _pause, _left
    cdef uint64_t _frame
    cdef KnownField *_fields
    cdef PyObject *_names[NAMES]
    cpdef read(self, frame)
    cdef bint _members(self, PyObject *event, Text at, Text end) except -1
    cdef int _field(self, int before, Text at, Text end) noexcept
    cdef Text _value(self, KnownField *known, PyObject **slot, Text at, Text end) except? NULL
    cdef Text _number(self, KnownField *known, PyObject **slot, Text at, Text end) except? NULL
    cdef Text _unusual_number(self, KnownField *known, PyObject **slot, Text at, Text end) except? NULL
    cdef Text _text(self, KnownField *known, PyObject **slot, Text at, Text end) except? NULL
    cdef Text _unusual_text(self, KnownField *known, PyObject **slot, Text at, Text stop) except? NULL
    cdef Text _flag(self, KnownField *known, PyObject **slot, Text at, Text end) except? NULL
    cdef Text _unknown_value(self, KnownField *known, Text at, Text end) except? NULL
    cdef Text _wrong_type(self, KnownField *known, Text at, Text end) except? NULL
    cdef int _refuse(self, KnownField *known, value) except -1
    cdef Text _flags(self, PyObject **slot, Text at, Text end) except? NULL
    cdef object _name(self, Text at, Py_ssize_t size)
