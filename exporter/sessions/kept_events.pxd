# Types for the compiled kept_events.py.
from exporter.sessions.call_journal cimport CallJournal

cdef class _TurnKeeper:
    cdef object _pack

    cpdef keep(self, CallJournal journal, event, _, double now)
