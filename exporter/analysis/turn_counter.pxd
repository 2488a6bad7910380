# Types for the compiled turn_counter.py.
from exporter.sessions.session cimport Session

cdef class TurnCounter:
    cdef object _store, _limiter, _timeout, _refuse, _on_missing, _on_without_metrics, _turns, _caller_turns, _without, _late, _duplicates
    cdef object _sessions_without, _stand_ins
    cdef public dict _due
    cpdef turn_metrics(self, Session session, event, double now)
    cpdef turn_completed(self, Session session, event, double now)
    cdef _count(self, Session session, event, double now)
    cdef _match(self, Session session, key)

cpdef bint was_answered(event)
cdef _remember(Session session, key, stood_in)
