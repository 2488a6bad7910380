# Types for the compiled state_durations.py.
cimport cython

from exporter.sessions.session cimport ParticipantState, Session

cdef class StateTracker:
    cdef object _store, _state_duration
    cpdef user_state_changed(self, Session session, event, double now)
    cpdef agent_state_changed(self, Session session, event, double now)
    @cython.locals(at=double, state=ParticipantState)
    cdef _change(self, Session session, str participant, event, tuple known, double now)
    @cython.locals(row=list)
    cdef _add(self, Session session, str participant, str state, double seconds, double now)
