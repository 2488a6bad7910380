# Types for the compiled turn_spans.py.
cimport cython

from exporter.compiled.turns cimport TurnEncoder
from exporter.sessions.clock cimport PlatformClock
from exporter.sessions.span_state cimport SpanBuffer, SpanState

cpdef turn_ids(SpanState state, key, bint per_turn)

cdef class TurnSpans:
    cdef object _emit, _messages, _error_type
    cdef TurnEncoder _encoder

    @cython.locals(clock=PlatformClock, turn=TurnEncoder)
    cpdef write(self, event, SpanState state, ids, SpanBuffer buffer, double receipt)

    cdef _added(self, source, SpanBuffer buffer)
