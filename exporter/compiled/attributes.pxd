# The writer of attributes, for the modules beside this one.
cimport cython

cdef struct Entry:
    int kind
    int fields  # how many: the field, and its earlier names
    Py_ssize_t field[5]  # where the event has them, in bytes
    double divisor
    const char *head  # memory of bytes that _kept holds
    Py_ssize_t head_size
    const char *no
    Py_ssize_t no_size


@cython.final
cdef class AttributeWriter:
    cdef Entry *_entries
    cdef list _kept
    cdef list _writes
    cdef list _last  # for each written attribute of flags: the flags that were written last, and their bytes
    cdef Py_ssize_t *_ends  # for each span, the number of the entry after its last
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _size
    cdef Py_ssize_t _length
    cdef unsigned char _tag
    cdef readonly Py_ssize_t spans
    cdef unsigned char *buffer

    cdef int write(self, event, Py_ssize_t *ends) except -1
    cdef int _add(self, entry, list offsets) except -1
    cdef unsigned char *_room(self, Py_ssize_t size) except NULL
    cdef int _copy(self, const char *data, Py_ssize_t size) except -1
    cdef int _attribute(self, Entry *e, Py_ssize_t place, object value) except -1
    cdef bytes _cached(self, Py_ssize_t place, object value)
    cdef bytes _written(self, Py_ssize_t place, object value)
    cdef int _double(self, Entry *e, object value) except -1
    cdef int _integer(self, Entry *e, object value) except -1
    cdef int _text(self, Entry *e, str value) except -1
