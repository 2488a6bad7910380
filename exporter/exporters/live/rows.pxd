# Types for the compiled rows.py.
cimport cython

from exporter.exporters.live.tally cimport Tally
from exporter.sessions.call_journal cimport CallJournal
from exporter.sessions.session cimport ParticipantState, Session
from exporter.sessions.turn_taking_state cimport Moment, TurnTakingState

@cython.locals(session=Session, tally=Tally)
cpdef row(CallJournal journal, double now, double slow_turn)

@cython.locals(agent=ParticipantState)
cpdef tuple activity_of(Session session, double now)

cdef _waiting_since(Session session, TurnTakingState state, double now)

@cython.locals(stopped=Moment, agent=ParticipantState)
cdef bint _is_deciding(Session session, TurnTakingState state, double now) except -1

cdef bint _runs_tool(Session session) except -1
