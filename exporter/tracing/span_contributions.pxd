# Types for the compiled span_contributions.py.
cimport cython

from exporter.sessions.span_state cimport SpanBuffer

cdef class Contribution:
    cdef public tuple slots
    cdef public object event

    cpdef add_to(self, SpanBuffer buffer, event, long long at)
