# cython: language_level=3, wraparound=False
"""Adds an event's fields to the store.

Does the same as the function that :mod:`exporter.metrics.recorder_source` writes out, update for update. Property tests hold that
function to a slow reference, and this module to that function.

An event's fields are read where its struct keeps them, without a look-up by name. The cells of histograms are arrays of numbers.
"""

cimport cython

from cython cimport no_gc
from cpython.dict cimport PyDict_GetItemWithError
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_GET_LENGTH
from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy

from exporter.compiled.members cimport field_at, offset_of

cdef extern from *:
    """
    #define ADD_IN_PLACE(number, amount) (((PyFloatObject *)(number))->ob_fval += (amount))
    #define SAME_BYTES(one, other) (PyUnicode_KIND(one) == PyUnicode_KIND(other) && \
        memcmp(PyUnicode_DATA(one), PyUnicode_DATA(other), PyUnicode_GET_LENGTH(one) * PyUnicode_KIND(one)) == 0)
    """
    void ADD_IN_PLACE(PyObject *number, double amount)
    bint IS_FLOAT "PyFloat_CheckExact"(PyObject *number)
    Py_ssize_t HOLDERS "Py_REFCNT"(PyObject *number)
    bint SAME_BYTES(PyObject *one, PyObject *other)

cdef enum:
    HISTOGRAM, COUNTER, PRESENCE, GAUGE, EVENT
    MOST_FIELDS = 8
    SLOT_BITS = 47  # of a double: what is above are its sign, its exponent and 5 bits of its mantissa, which make a slot

cdef struct Places:
    int edges
    int buckets  # classic ones
    double *edge
    int *explicit
    int64_t first  # the slot of the lowest positive edge
    int64_t slots
    int *start  # for each slot the first edge that may be reached in it

_KINDS = {"histogram": HISTOGRAM, "counter": COUNTER, "presence": PRESENCE, "gauge": GAUGE, "event": EVENT}

cdef struct Update:
    int kind
    int fields  # how many places there are in `field`: the field itself, then its earlier names
    Py_ssize_t field[MOST_FIELDS]  # where an event has the value, in bytes from its beginning
    int row
    int column
    bint zero_is_unknown
    bint exemplars

cdef struct LabelGroup:
    int index
    bint always
    int keys
    Py_ssize_t key[MOST_FIELDS]
    int first
    int end

cdef struct KeptExemplar:
    double value
    double at
    PyObject *turn  # NULL if there is no exemplar


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


@cython.final
cdef class _PlacesOf:
    """Holds the places of histograms: the same edges are those of many."""

    cdef Places places

    def __cinit__(self, tuple edges not None, tuple explicit not None):
        cdef int number, place = 0
        cdef Places *p = &self.places
        if len(explicit) != len(edges) + 1:
            raise ValueError(f"{len(edges)} edges make {len(edges) + 1} places, not {len(explicit)}")
        p.edges = len(edges)
        p.buckets = explicit[p.edges] + 1
        if sorted(explicit) != list(explicit) or explicit[0] < 0:
            raise ValueError("the classic buckets of places must rise from 0")
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


cdef dict _shared = {}


@no_gc
@cython.final
cdef class HistogramCell:
    """A histogram in a row of the store. It has the items of the list that :mod:`exporter.metrics.store` uses without C.

    These are a count for each place, the sum, and the exemplars: a list with one item for each classic bucket, or ``None``.
    """

    cdef _PlacesOf _of
    cdef Places *_places
    cdef int64_t *_counts
    cdef KeptExemplar *_exemplars
    cdef double _sum

    def __cinit__(self, tuple edges, tuple explicit, bint exemplars=False, _PlacesOf of=None):
        if of is None:
            of = _shared.get((edges, explicit))
            if of is None:
                of = _shared[edges, explicit] = _PlacesOf(edges, explicit)
        self._of, self._places = of, &of.places
        self._counts = <int64_t *>PyMem_Calloc(self._places.edges + 1, sizeof(int64_t))
        if exemplars:
            self._exemplars = <KeptExemplar *>PyMem_Calloc(self._places.buckets, sizeof(KeptExemplar))
        if self._counts == NULL or (exemplars and self._exemplars == NULL):
            raise MemoryError

    def __dealloc__(self):
        cdef int bucket
        if self._exemplars != NULL:
            for bucket in range(self._places.buckets):
                Py_XDECREF(self._exemplars[bucket].turn)
        PyMem_Free(self._exemplars)
        PyMem_Free(self._counts)

    cdef inline void _observe(self, double value) noexcept:
        self._counts[place_of(self._places, value)] += 1
        self._sum += value

    cdef inline void _observe_with_exemplar(self, double value, turn, double now) noexcept:
        cdef int place = place_of(self._places, value)
        cdef KeptExemplar *kept
        cdef PyObject *before
        self._counts[place] += 1
        self._sum += value
        if self._exemplars != NULL:
            kept = &self._exemplars[self._places.explicit[place]]
            before = kept.turn
            kept.value, kept.at, kept.turn = value, now, <PyObject *>turn
            Py_INCREF(turn)
            Py_XDECREF(before)

    def observe(self, double value):
        """Add a value, in wire units."""
        self._observe(value)

    def copy(self):
        """A cell that has the same items."""
        cdef HistogramCell made = HistogramCell(None, None, self._exemplars != NULL, self._of)
        cdef int bucket
        memcpy(made._counts, self._counts, (self._places.edges + 1) * sizeof(int64_t))
        made._sum = self._sum
        if self._exemplars != NULL:
            memcpy(made._exemplars, self._exemplars, self._places.buckets * sizeof(KeptExemplar))
            for bucket in range(self._places.buckets):
                if made._exemplars[bucket].turn != NULL:
                    Py_INCREF(<object>made._exemplars[bucket].turn)
        return made

    def __len__(self):
        return self._places.edges + 3

    def __getitem__(self, key):
        cdef Py_ssize_t place
        if isinstance(key, slice):
            return self._items()[key]
        place = key
        if place == self._places.edges + 1:
            return self._sum
        if place == self._places.edges + 2:
            return self._kept()
        if 0 <= place <= self._places.edges:
            return self._counts[place]
        raise IndexError(key)

    def __eq__(self, other):
        cdef HistogramCell another
        if not isinstance(other, HistogramCell):
            return NotImplemented
        another = other
        return (
            self._of is another._of
            and self._sum == another._sum
            and memcmp(self._counts, another._counts, (self._places.edges + 1) * sizeof(int64_t)) == 0
            and self._kept() == another._kept()
        )

    cdef list _items(self):
        cdef int place
        return [*[self._counts[place] for place in range(self._places.edges + 1)], self._sum, self._kept()]

    cdef list _kept(self):
        cdef int bucket
        cdef KeptExemplar *kept
        if self._exemplars == NULL:
            return None
        found = []
        for bucket in range(self._places.buckets):
            kept = &self._exemplars[bucket]
            found.append(None if kept.turn == NULL else (kept.value, <object>kept.turn, kept.at))
        return found


cdef inline bint same(PyObject *one, PyObject *other) noexcept:
    """Whether two raw values are the same flag, or texts of the same characters."""
    if one == other:
        return True
    return (
        PyUnicode_CheckExact(<object>one)
        and PyUnicode_CheckExact(<object>other)
        and PyUnicode_GET_LENGTH(<object>one) == PyUnicode_GET_LENGTH(<object>other)
        and SAME_BYTES(one, other)
    )


cdef inline int add(list row, Py_ssize_t column, double amount) except -1:
    """Add to a number in a row. A number that nobody else holds is changed in place."""
    cdef PyObject *held
    if not 0 <= column < PyList_GET_SIZE(row):
        raise IndexError(column)
    held = PyList_GET_ITEM(row, column)
    if HOLDERS(held) == 1 and IS_FLOAT(held):
        ADD_IN_PLACE(held, amount)
    else:
        row[column] = <double>row[column] + amount
    return 0


@cython.final
cdef class RecordWriter:
    """Records the events of one type, as ``groups`` say (:class:`exporter.compiled.record_instructions.GroupInstruction`).

    ``event_type`` is the struct of the events; ``find_rows`` finds the rows for a key that is not cached.
    """

    cdef LabelGroup *_groups
    cdef Update *_updates
    cdef Py_ssize_t _count
    cdef object _type
    cdef object _find_rows

    def __cinit__(self, list groups, event_type, find_rows):
        cdef Py_ssize_t updates = sum([len(group.updates) for group in groups])
        self._groups = <LabelGroup *>PyMem_Malloc((len(groups) + 1) * sizeof(LabelGroup))
        self._updates = <Update *>PyMem_Malloc((updates + 1) * sizeof(Update))
        if self._groups == NULL or self._updates == NULL:
            raise MemoryError
        self._find_rows, self._type, self._count = find_rows, event_type, len(groups)
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

    cdef int _fields_of(self, Py_ssize_t *into, names) except -1:
        if len(names) > MOST_FIELDS:
            raise ValueError(f"{names} are more than {MOST_FIELDS} fields")
        for number, name in enumerate(names):
            into[number] = offset_of(self._type, name)
        return len(names)

    cdef int _enter(self, Update *u, update) except -1:
        u.kind, u.row, u.column = _KINDS[update.kind], update.row, update.column
        u.zero_is_unknown, u.exemplars = update.zero_is_unknown, update.exemplars
        u.fields = self._fields_of(u.field, update.fields)
        return 0

    def record(self, event not None, cache, now, turn, /):
        """Add an event, as :class:`exporter.metrics.recorder.Record` says. Raises ``TypeError`` for an event of another type."""
        if type(event) is not self._type:
            raise TypeError(f"an event of type {self._type.__name__} is recorded here, not {type(event).__name__}")
        cdef Py_ssize_t number
        cdef int place
        cdef LabelGroup *group
        cdef Update *update
        cdef PyObject *value
        cdef tuple rows
        cdef double received = now
        cdef list rows_by_key = cache.rows, latest = cache.latest
        for number in range(self._count):
            group = &self._groups[number]
            rows = self._rows(group, event, rows_by_key, latest, cache, now) if group.always else None
            for place in range(group.first, group.end):
                update = &self._updates[place]
                if update.kind == EVENT:
                    add(<list?>rows[update.row], update.column, 1.0)
                    continue
                value = self._value(update, event)
                if value == <PyObject *>None:
                    continue
                if rows is None:
                    rows = self._rows(group, event, rows_by_key, latest, cache, now)
                self._update(update, <object>value, <list?>rows[update.row], received, turn)

    cdef inline PyObject *_value(self, Update *update, event) noexcept:
        cdef PyObject *value = <PyObject *>None
        cdef int number
        for number in range(update.fields):
            value = field_at(event, update.field[number])
            if value != <PyObject *>None:
                break
        return value

    cdef tuple _rows(self, LabelGroup *group, event, list rows_by_key, list latest, cache, now):
        """The rows of the group for this event. Most events of an agent have the labels of the one before."""
        cdef tuple kept = <tuple?>latest[group.index]
        cdef dict known
        cdef object key
        cdef tuple rows
        cdef PyObject *found
        if self._is_latest(group, event, kept):
            return <tuple><object>PyTuple_GET_ITEM(kept, 0)
        known = <dict?>rows_by_key[group.index]
        key = self._key(group, event)
        found = PyDict_GetItemWithError(known, key)
        if found == NULL:
            rows = self._find_rows(group.index, cache, key, now)
            found = PyDict_GetItemWithError(known, key)
            if found == NULL:
                return rows
        rows = <tuple?><object>found
        latest[group.index] = (rows, key)
        return rows

    cdef inline bint _is_latest(self, LabelGroup *group, event, tuple kept):
        cdef int number
        cdef tuple keys
        if PyTuple_GET_SIZE(kept) != 2:
            return False
        if group.keys == 0:
            return True
        if group.keys == 1:
            return same(field_at(event, group.key[0]), PyTuple_GET_ITEM(kept, 1))
        keys = <tuple?><object>PyTuple_GET_ITEM(kept, 1)
        for number in range(min(group.keys, PyTuple_GET_SIZE(keys))):
            if not same(field_at(event, group.key[number]), PyTuple_GET_ITEM(keys, number)):
                return False
        return True

    cdef object _key(self, LabelGroup *group, event):
        cdef tuple key
        cdef int number
        cdef object item
        if group.keys == 0:
            return None
        if group.keys == 1:
            return <object>field_at(event, group.key[0])
        key = PyTuple_New(group.keys)
        for number in range(group.keys):
            item = <object>field_at(event, group.key[number])
            Py_INCREF(item)
            PyTuple_SET_ITEM(key, number, item)
        return key

    cdef inline int _update(self, Update *update, value, list row, double now, turn) except -1:
        cdef double number
        cdef HistogramCell cell
        if update.kind == GAUGE:
            row[update.column] = value
        elif update.kind == PRESENCE:
            if value:
                add(row, update.column, 1.0)
        else:
            number = PyFloat_AS_DOUBLE(value) if PyFloat_CheckExact(value) else <double>value
            if update.kind == COUNTER:
                if number != 0.0:
                    add(row, update.column, number)
            elif number != 0.0 or not update.zero_is_unknown:
                cell = <HistogramCell?>row[update.column]
                if update.exemplars and turn is not None:
                    cell._observe_with_exemplar(number, turn, now)
                else:
                    cell._observe(number)
        return 0
