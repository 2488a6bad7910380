# Types for the compiled channel.py.
cimport cython

cdef class _Encoded:
    cdef public bytes text
    cdef public object raw
    cdef public long long number

cdef class Channel:
    cdef object _state, _change, _gone, _cached
    cdef dict _items, _parts
    cdef long long _bridged_from
    cdef public long long number

    @cython.locals(known=_Encoded, text=bytes)
    cpdef set_item(self, str key, item)
    cdef long long _next(self) except -1

cdef bytes _encode(value)
