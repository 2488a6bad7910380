# Types for the compiled call_feed.py.
cimport cython

from exporter.pipeline.step cimport Step
from exporter.sessions.session cimport Session

cdef class CallFeed:
    cdef public object _pipeline
    cdef public bint _relayed
    cdef public Session session
    cpdef consume(self, frame, double now)
    @cython.locals(step=Step, session=Session, started=bint)
    cdef bint _process(self, event, double now, frame) except -1
