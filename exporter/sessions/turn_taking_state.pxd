# Types for the compiled turn_taking_state.py.
cdef class Moment:
    cdef public object stamp
    cdef public double received
    cpdef double until(self, Moment later) except? -1

cdef class TurnTakingState:
    cdef public Moment user_started, user_stopped, agent_started, turn_end, turn_start, turn_decided, answered
    cdef public bint agent_reported
    cdef public object waiting_for
    cdef public double reported_silence, unanswered, last_wait
