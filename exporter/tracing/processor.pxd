# Types for the compiled processor.py.
cimport cython

from exporter.sessions.clock cimport PlatformClock
from exporter.sessions.session cimport Session
from exporter.sessions.span_state cimport SpanBuffer, SpanState
from exporter.tracing.span_contributions cimport Contribution
from exporter.tracing.turn_spans cimport TurnSpans, turn_ids

cdef class SpanProcessor:
    cdef public object tools, handlers
    cdef TurnSpans _turns
    cdef bint _exports_all, _per_turn
    cdef object _options, _sampler, _session, _chats, _turn_names, _conversations, _agents, _agent_names

    @cython.locals(state=SpanState)
    cpdef reference(self, Session session, event)

    @cython.locals(state=SpanState, buffer=SpanBuffer)
    cdef _write(self, Session session, event, key, bytes mark, double receipt)

    cpdef _turn_metrics(self, Session session, event, double receipt)

    cdef bint _is_exported(self, Session session, event, key) except -1

    @cython.locals(state=SpanState)
    cpdef SpanState _state(self, Session session)

cdef class _Collector:
    cdef object _state_of, _then
    cdef Contribution _to_turn, _to_session
    cdef bint _renames

    @cython.locals(state=SpanState, clock=PlatformClock, at=cython.longlong)
    cpdef collect(self, Session session, event, double receipt)

cdef _key(event)

cdef _completed_key(event)

cdef _span_key(SpanState state, Session session, key, late)
