# cython: language_level=3, wraparound=False
"""Reads several fields of a struct where the struct keeps them, without a look-up by name. Equal to :func:`operator.attrgetter`."""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_INCREF, PyObject
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM

from exporter.compiled.members cimport field_at, offset_of


@cython.final
cdef class FieldGetter:
    """Reads the fields ``names`` of events of type ``event_type``. Raises ``ValueError`` if it has no such field."""

    cdef Py_ssize_t *_offsets
    cdef Py_ssize_t _count
    cdef object _type

    def __cinit__(self, event_type, tuple names not None):
        self._type, self._count = event_type, len(names)
        self._offsets = <Py_ssize_t *>PyMem_Malloc((self._count + 1) * sizeof(Py_ssize_t))
        if self._offsets == NULL:
            raise MemoryError
        for number, name in enumerate(names):
            self._offsets[<Py_ssize_t>number] = offset_of(event_type, name)

    def __dealloc__(self):
        PyMem_Free(self._offsets)

    def read(self, event not None, /):
        """The values, in the order of the names. Raises ``TypeError`` for an event of another type."""
        if type(event) is not self._type:
            raise TypeError(f"an event of type {self._type.__name__} is read here, not {type(event).__name__}")
        cdef tuple values = PyTuple_New(self._count)
        cdef Py_ssize_t number
        cdef object value
        for number in range(self._count):
            value = <object>field_at(event, self._offsets[number])
            Py_INCREF(value)
            PyTuple_SET_ITEM(values, number, value)
        return values
