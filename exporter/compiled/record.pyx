# cython: language_level=3, wraparound=False
"""Adds an event's fields to the store.

The same as the function :mod:`exporter.metrics.recorder_source` writes out, use for use; the property tests that hold that one to the slow
reference hold this one to it too.
"""

from cpython.dict cimport PyDict_GetItemWithError
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_INCREF, PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM

cdef enum:
    HISTOGRAM, COUNTER, PRESENCE, GAUGE, EVENT
    MOST_FIELDS = 8

_KINDS = {"histogram": HISTOGRAM, "counter": COUNTER, "presence": PRESENCE, "gauge": GAUGE, "event": EVENT}

cdef struct Update:
    int kind
    int fields  # how many: the field, and its earlier names that stand in for it
    int field[MOST_FIELDS]
    int row
    int column
    bint zero_is_unknown
    bint exemplars
    int bounds
    double *bound

cdef struct LabelGroup:
    int index
    bint always
    int keys
    int key[MOST_FIELDS]
    int first
    int end


cdef class RecordWriter:
    """``groups`` are those of the recorder: index, places of the key's fields, and uses.

    A use is kind, places of its fields, row and column of its cell, bucket bounds, whether zero is unknown, whether exemplars are kept.
    ``fields`` is how many values an event has; ``resolve`` finds rows for a key that was not seen yet.
    """

    cdef LabelGroup *_groups
    cdef Update *_uses
    cdef double *_bounds
    cdef Py_ssize_t _count
    cdef Py_ssize_t _fields
    cdef object _resolve

    def __cinit__(self, list groups, Py_ssize_t fields, resolve):
        cdef Py_ssize_t uses = sum([len(listed) for _, _, listed in groups])
        cdef Py_ssize_t bounds = sum([len(use[4]) for _, _, listed in groups for use in listed])
        self._groups = <LabelGroup *>PyMem_Malloc((len(groups) + 1) * sizeof(LabelGroup))
        self._uses = <Update *>PyMem_Malloc((uses + 1) * sizeof(Update))
        self._bounds = <double *>PyMem_Malloc((bounds + 1) * sizeof(double))
        if self._groups == NULL or self._uses == NULL or self._bounds == NULL:
            raise MemoryError
        self._resolve, self._fields, self._count = resolve, fields, len(groups)
        cdef double *bound = self._bounds
        cdef int place = 0
        cdef Py_ssize_t number
        cdef LabelGroup *b
        for number, (index, key, listed) in enumerate(groups):
            b = &self._groups[number]
            b.index, b.first = index, place
            b.keys = self._places(b.key, key)
            b.always = any([not use[1] for use in listed])
            for use in listed:
                bound = self._enter(&self._uses[place], use, bound)
                place += 1
            b.end = place

    def __dealloc__(self):
        PyMem_Free(self._groups)
        PyMem_Free(self._uses)
        PyMem_Free(self._bounds)

    cdef int _places(self, int *into, places) except -1:
        if len(places) > MOST_FIELDS or not all([0 <= place < self._fields for place in places]):
            raise ValueError(f"{places} are no places of up to {MOST_FIELDS} fields among {self._fields}")
        for number, place in enumerate(places):
            into[number] = place
        return len(places)

    cdef double *_enter(self, Update *u, tuple use, double *bound) except NULL:
        kind, places, row, column, edges, zero_is_unknown, exemplars = use
        u.kind, u.row, u.column, u.zero_is_unknown, u.exemplars = _KINDS[kind], row, column, zero_is_unknown, exemplars
        u.fields = self._places(u.field, places)
        u.bounds, u.bound = len(edges), bound
        for number, edge in enumerate(edges):
            bound[number] = edge
        return bound + u.bounds

    def record(self, tuple values not None, list caches not None, cells, now, turn):
        """Add an event whose fields have these values; ``caches`` are those of ``cells``, the rest as for any recorder."""
        if PyTuple_GET_SIZE(values) != self._fields:
            raise ValueError(f"{len(values)} values, not {self._fields}")
        cdef Py_ssize_t number
        cdef int place
        cdef LabelGroup *group
        cdef tuple rows
        for number in range(self._count):
            group = &self._groups[number]
            if not self._is_present(group, values):
                continue
            rows = self._rows(group, values, <dict?>caches[group.index], cells, now)
            for place in range(group.first, group.end):
                self._use(&self._uses[place], values, rows, now, turn)

    cdef inline PyObject *_value(self, Update *use, tuple values) noexcept:
        cdef PyObject *value = <PyObject *>None
        cdef int number
        for number in range(use.fields):
            value = PyTuple_GET_ITEM(values, use.field[number])
            if value != <PyObject *>None:
                break
        return value

    cdef inline bint _is_present(self, LabelGroup *group, tuple values) noexcept:
        cdef int place
        if group.always:
            return True
        for place in range(group.first, group.end):
            if self._value(&self._uses[place], values) != <PyObject *>None:
                return True
        return False

    cdef tuple _rows(self, LabelGroup *group, tuple values, dict cache, cells, now):
        cdef object key = self._key(group, values)
        cdef PyObject *found = PyDict_GetItemWithError(cache, key)
        if found != NULL:
            return <tuple?>found
        return self._resolve(group.index, cells, key, now)

    cdef object _key(self, LabelGroup *group, tuple values):
        cdef tuple key
        cdef int number
        cdef object item
        if group.keys == 0:
            return None
        if group.keys == 1:
            return <object>PyTuple_GET_ITEM(values, group.key[0])
        key = PyTuple_New(group.keys)
        for number in range(group.keys):
            item = <object>PyTuple_GET_ITEM(values, group.key[number])
            Py_INCREF(item)
            PyTuple_SET_ITEM(key, number, item)
        return key

    cdef int _use(self, Update *use, tuple values, tuple rows, now, turn) except -1:
        cdef list row = <list?>rows[use.row]
        cdef PyObject *found
        cdef object value
        if use.kind == EVENT:
            row[use.column] = row[use.column] + 1.0
            return 0
        found = self._value(use, values)
        if found == <PyObject *>None:
            return 0
        value = <object>found
        if use.kind == HISTOGRAM:
            if value or not use.zero_is_unknown:
                self._observe(use, <list?>row[use.column], value, now, turn)
        elif use.kind == GAUGE:
            row[use.column] = value
        elif value:
            row[use.column] = row[use.column] + (value if use.kind == COUNTER else 1.0)
        return 0

    cdef int _observe(self, Update *use, list cell, value, now, turn) except -1:
        cdef double number = <double>value
        cdef int low = 0, high = use.bounds, middle
        cdef object total = cell[use.bounds + 1]
        while low < high:
            middle = (low + high) >> 1
            if use.bound[middle] < number:
                low = middle + 1
            else:
                high = middle
        cell[low] = <long long>cell[low] + 1
        cell[use.bounds + 1] = PyFloat_AS_DOUBLE(total) + number if PyFloat_CheckExact(total) else total + value
        if use.exemplars and turn is not None:
            (<list?>cell[use.bounds + 2])[low] = (value, turn, now)
        return 0
