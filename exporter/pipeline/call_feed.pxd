# Types for the compiled call_feed.py.
cimport cython

from exporter.pipeline.event_lag cimport EventLag
from exporter.pipeline.step cimport Step
from exporter.protocol.learning_decoder cimport LearningDecoder
from exporter.sessions.session cimport Session

cdef class CallFeed:
    cdef public object _pipeline
    cdef public bint _relayed
    cdef LearningDecoder _decoder
    cdef EventLag _lag
    cdef dict _steps
    cdef list _frames_received, _processed
    cdef Py_ssize_t _most_characters
    cdef public Session session
    cpdef consume(self, frame, double now)
    @cython.locals(step=Step, session=Session, started=bint)
    cdef bint _process(self, event, double now, frame) except -1
