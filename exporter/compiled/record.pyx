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
from libc.stdint cimport int64_t
from libc.string cimport memcpy

cdef enum:
    HISTOGRAM, COUNTER, PRESENCE, GAUGE, EVENT
    MOST_FIELDS = 8
    SLOT_BITS = 47  # of a double: what is above are its sign, its exponent and 5 bits of its mantissa, which make a slot

cdef struct Places:
    int edges
    double *edge
    int *explicit
    int64_t first  # the slot of the lowest positive edge
    int64_t slots
    int *start  # for each slot the first edge that may be reached in it

_KINDS = {"histogram": HISTOGRAM, "counter": COUNTER, "presence": PRESENCE, "gauge": GAUGE, "event": EVENT}

cdef struct Update:
    int kind
    int fields  # how many places there are in `field`: the field itself, then its earlier names
    int field[MOST_FIELDS]
    int row
    int column
    bint zero_is_unknown
    bint exemplars
    Places *places

cdef struct LabelGroup:
    int index
    bint always
    int keys
    int key[MOST_FIELDS]
    int first
    int end


cdef inline int64_t slot_of(double value) noexcept:
    cdef int64_t bits
    memcpy(&bits, &value, sizeof(bits))
    return bits >> SLOT_BITS


cdef inline double beginning_of(int64_t slot) noexcept:
    cdef int64_t bits = slot << SLOT_BITS
    cdef double value
    memcpy(&value, &bits, sizeof(value))
    return value


cdef inline int place_of(Places *places, double value) noexcept:
    """As ``bisect_left(edges, value)``: a slot is narrow, so that the search begins at most a few edges below its end."""
    cdef int place = 0
    cdef int64_t slot
    if not value > places.edge[0]:
        return 0
    slot = slot_of(value) - places.first
    if slot >= places.slots:
        return places.edges
    if slot >= 0:
        place = places.start[slot]
    while place < places.edges and places.edge[place] < value:
        place += 1
    return place


cdef class _PlacesOf:
    """Holds the places of a histogram: the same edges are those of many updates."""

    cdef Places places

    def __cinit__(self, tuple edges not None, tuple explicit not None):
        cdef int number, place = 0
        cdef Places *p = &self.places
        p.edges = len(edges)
        p.first = slot_of(min([edge for edge in edges if edge > 0]))
        p.slots = slot_of(edges[p.edges - 1]) - p.first + 1
        p.edge = <double *>PyMem_Malloc(p.edges * sizeof(double))
        p.explicit = <int *>PyMem_Malloc((p.edges + 1) * sizeof(int))
        p.start = <int *>PyMem_Malloc(p.slots * sizeof(int))
        if p.edge == NULL or p.explicit == NULL or p.start == NULL:
            raise MemoryError
        for number in range(p.edges):
            p.edge[number] = edges[number]
        for number in range(p.edges + 1):
            p.explicit[number] = explicit[number]
        for number in range(p.slots):
            while p.edge[place] < beginning_of(p.first + number):
                place += 1
            p.start[number] = place

    def __dealloc__(self):
        PyMem_Free(self.places.edge)
        PyMem_Free(self.places.explicit)
        PyMem_Free(self.places.start)


cdef class RecordWriter:
    """Records the events of one type, as ``groups`` say (:class:`exporter.compiled.record_instructions.GroupInstruction`).

    ``fields`` is how many values an event has; ``find_rows`` finds the rows for a key that is not cached.
    """

    cdef LabelGroup *_groups
    cdef Update *_updates
    cdef dict _places
    cdef Py_ssize_t _count
    cdef Py_ssize_t _fields
    cdef object _find_rows

    def __cinit__(self, list groups, Py_ssize_t fields, find_rows):
        cdef Py_ssize_t updates = sum([len(group.updates) for group in groups])
        self._groups = <LabelGroup *>PyMem_Malloc((len(groups) + 1) * sizeof(LabelGroup))
        self._updates = <Update *>PyMem_Malloc((updates + 1) * sizeof(Update))
        if self._groups == NULL or self._updates == NULL:
            raise MemoryError
        self._find_rows, self._fields, self._count, self._places = find_rows, fields, len(groups), {}
        cdef int place = 0
        cdef Py_ssize_t number
        cdef LabelGroup *g
        for number, group in enumerate(groups):
            g = &self._groups[number]
            g.index, g.first = group.number, place
            g.keys = self._fields_of(g.key, group.key)
            g.always = any([not update.fields for update in group.updates])
            for update in group.updates:
                self._enter(&self._updates[place], update)
                place += 1
            g.end = place

    def __dealloc__(self):
        PyMem_Free(self._groups)
        PyMem_Free(self._updates)

    cdef int _fields_of(self, int *into, places) except -1:
        if len(places) > MOST_FIELDS or not all([0 <= place < self._fields for place in places]):
            raise ValueError(f"{places} are no places of up to {MOST_FIELDS} fields among {self._fields}")
        for number, place in enumerate(places):
            into[number] = place
        return len(places)

    cdef int _enter(self, Update *u, update) except -1:
        u.kind, u.row, u.column = _KINDS[update.kind], update.row, update.column
        u.zero_is_unknown, u.exemplars = update.zero_is_unknown, update.exemplars
        u.fields = self._fields_of(u.field, update.fields)
        u.places = NULL
        if u.kind == HISTOGRAM:
            key = (update.edges, update.explicit)
            if key not in self._places:
                self._places[key] = _PlacesOf(update.edges, update.explicit)
            u.places = &(<_PlacesOf?>self._places[key]).places
        return 0

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
        cdef int place = place_of(update.places, number)
        cdef int size = update.places.edges + 1
        cdef object total = cell[size]
        cell[place] = <long long>cell[place] + 1
        cell[size] = PyFloat_AS_DOUBLE(total) + number if PyFloat_CheckExact(total) else total + value
        if update.exemplars and turn is not None:
            (<list?>cell[size + 1])[update.places.explicit[place]] = (value, turn, now)
        return 0
