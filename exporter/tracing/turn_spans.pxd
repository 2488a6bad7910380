# Types for the compiled turn_spans.py.
cimport cython

from exporter.sessions.clock cimport PlatformClock
from exporter.sessions.span_state cimport SpanBuffer, SpanState

cdef class TurnSpans:
    cdef object _emit, _encoder, _messages, _error_type

    @cython.locals(clock=PlatformClock)
    cpdef write(self, event, SpanState state, ids, SpanBuffer buffer, double receipt)

    cdef _added(self, source, SpanBuffer buffer)
