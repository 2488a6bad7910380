# Types for the compiled event_lag.py.
cdef class EventLag:
    cdef object _observe
    cdef bint _has_least
    cdef double _least
    cpdef note(self, double lag)
