# cython: language_level=3, wraparound=False
"""Adds an event's fields to the store.

Does the same as the function that :mod:`exporter.metrics.recorder_source` writes out, update for update. Property tests hold that
function to a slow reference, and this module to that function.
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
    int fields  # how many places there are in `field`: the field itself, then its earlier names
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
    """Records the events of one type, as ``groups`` say (:class:`exporter.compiled.record_instructions.GroupInstruction`).

    ``fields`` is how many values an event has; ``find_rows`` finds the rows for a key that is not cached.
    """

    cdef LabelGroup *_groups
    cdef Update *_updates
    cdef double *_bounds
    cdef Py_ssize_t _count
    cdef Py_ssize_t _fields
    cdef object _find_rows

    def __cinit__(self, list groups, Py_ssize_t fields, find_rows):
        cdef Py_ssize_t updates = sum([len(group.updates) for group in groups])
        cdef Py_ssize_t bounds = sum([len(update.bounds) for group in groups for update in group.updates])
        self._groups = <LabelGroup *>PyMem_Malloc((len(groups) + 1) * sizeof(LabelGroup))
        self._updates = <Update *>PyMem_Malloc((updates + 1) * sizeof(Update))
        self._bounds = <double *>PyMem_Malloc((bounds + 1) * sizeof(double))
        if self._groups == NULL or self._updates == NULL or self._bounds == NULL:
            raise MemoryError
        self._find_rows, self._fields, self._count = find_rows, fields, len(groups)
        cdef double *bound = self._bounds
        cdef int place = 0
        cdef Py_ssize_t number
        cdef LabelGroup *g
        for number, group in enumerate(groups):
            g = &self._groups[number]
            g.index, g.first = group.number, place
            g.keys = self._places(g.key, group.key)
            g.always = any([not update.fields for update in group.updates])
            for update in group.updates:
                bound = self._enter(&self._updates[place], update, bound)
                place += 1
            g.end = place

    def __dealloc__(self):
        PyMem_Free(self._groups)
        PyMem_Free(self._updates)
        PyMem_Free(self._bounds)

    cdef int _places(self, int *into, places) except -1:
        if len(places) > MOST_FIELDS or not all([0 <= place < self._fields for place in places]):
            raise ValueError(f"{places} are no places of up to {MOST_FIELDS} fields among {self._fields}")
        for number, place in enumerate(places):
            into[number] = place
        return len(places)

    cdef double *_enter(self, Update *u, update, double *bound) except NULL:
        u.kind, u.row, u.column = _KINDS[update.kind], update.row, update.column
        u.zero_is_unknown, u.exemplars = update.zero_is_unknown, update.exemplars
        u.fields = self._places(u.field, update.fields)
        u.bounds, u.bound = len(update.bounds), bound
        for number, value in enumerate(update.bounds):
            bound[number] = value
        return bound + u.bounds

    def record(self, tuple values not None, list rows_by_key not None, cache, now, turn):
        """Add an event whose fields have these ``values``; ``rows_by_key`` is ``cache.rows``.

        Raises ``ValueError`` for a wrong number of values; the rest is as :class:`exporter.metrics.recorder.Record` says.
        """
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
            rows = self._rows(group, values, <dict?>rows_by_key[group.index], cache, now)
            for place in range(group.first, group.end):
                self._update(&self._updates[place], values, rows, now, turn)

    cdef inline PyObject *_value(self, Update *update, tuple values) noexcept:
        cdef PyObject *value = <PyObject *>None
        cdef int number
        for number in range(update.fields):
            value = PyTuple_GET_ITEM(values, update.field[number])
            if value != <PyObject *>None:
                break
        return value

    cdef inline bint _is_present(self, LabelGroup *group, tuple values) noexcept:
        cdef int place
        if group.always:
            return True
        for place in range(group.first, group.end):
            if self._value(&self._updates[place], values) != <PyObject *>None:
                return True
        return False

    cdef tuple _rows(self, LabelGroup *group, tuple values, dict rows_by_key, cache, now):
        cdef object key = self._key(group, values)
        cdef PyObject *found = PyDict_GetItemWithError(rows_by_key, key)
        if found != NULL:
            return <tuple?>found
        return self._find_rows(group.index, cache, key, now)

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

    cdef int _update(self, Update *update, tuple values, tuple rows, now, turn) except -1:
        cdef list row = <list?>rows[update.row]
        cdef PyObject *found
        cdef object value
        if update.kind == EVENT:
            row[update.column] = row[update.column] + 1.0
            return 0
        found = self._value(update, values)
        if found == <PyObject *>None:
            return 0
        value = <object>found
        if update.kind == HISTOGRAM:
            if value or not update.zero_is_unknown:
                self._observe(update, <list?>row[update.column], value, now, turn)
        elif update.kind == GAUGE:
            row[update.column] = value
        elif value:
            row[update.column] = row[update.column] + (value if update.kind == COUNTER else 1.0)
        return 0

    cdef int _observe(self, Update *update, list cell, value, now, turn) except -1:
        cdef double number = <double>value
        cdef int low = 0, high = update.bounds, middle
        cdef object total = cell[update.bounds + 1]
        while low < high:
            middle = (low + high) >> 1
            if update.bound[middle] < number:
                low = middle + 1
            else:
                high = middle
        cell[low] = <long long>cell[low] + 1
        cell[update.bounds + 1] = PyFloat_AS_DOUBLE(total) + number if PyFloat_CheckExact(total) else total + value
        if update.exemplars and turn is not None:
            (<list?>cell[update.bounds + 2])[low] = (value, turn, now)
        return 0
