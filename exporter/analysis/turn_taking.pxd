# Types for the compiled turn_taking.py.
cimport cython

from exporter.sessions.session cimport Session
from exporter.sessions.turn_taking_state cimport Moment, TurnTakingState

cdef class TurnTakingTracker:
    cdef double _slow_turn
    cdef dict _waiting_sessions
    cdef object _waiting, _dead_air, _dead_air_time, _premature, _reaction, _ended_after
    cpdef user_speech_started(self, Session session, event, double now)
    cpdef user_speech_stopped(self, Session session, event, double now)
    cpdef user_state_changed(self, Session session, event, double now)
    @cython.locals(state=TurnTakingState, completed=Moment, stopped=Moment, started=Moment, spoke=bint)
    cpdef user_turn_completed(self, Session session, event, double now)
    @cython.locals(state=TurnTakingState)
    cpdef agent_state_changed(self, Session session, event, double now)
    @cython.locals(state=TurnTakingState)
    cpdef agent_speech_started(self, Session session, event, double now)
    @cython.locals(state=TurnTakingState, silence=double, early=bint)
    cdef _user_started(self, Session session, Moment at, double now)
    @cython.locals(state=TurnTakingState)
    cdef _user_stopped(self, Session session, Moment at)
    cdef _agent_started(self, Session session, TurnTakingState state, Moment at, double now)
    @cython.locals(waits=bint)
    cdef _wait(self, Session session, TurnTakingState state, double now)
    cdef _stop_waiting(self, Session session, TurnTakingState state, double now)
    cdef _count_silence(self, TurnTakingState state, double silence, double now)

cdef TurnTakingState _state_of(Session session)
cdef Moment _moment(stamp, double now)
