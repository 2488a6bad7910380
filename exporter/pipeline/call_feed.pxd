# Types for the compiled call_feed.py.
from exporter.sessions.session cimport Session

cdef class CallFeed:
    cdef public object _pipeline
    cdef public bint _relayed
    cdef public Session session
    cpdef consume(self, frame, double now)
    cdef bint _process(self, event, double now, frame) except -1
