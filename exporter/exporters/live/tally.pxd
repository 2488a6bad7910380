# Types for the compiled tally.py.
cimport cython

from exporter.sessions.call_journal cimport CallJournal

cdef class Tally:
    cdef public double slow_turn
    cdef public long long position, turns, slow, unanswered, interruptions, errors
    cdef public tuple last, worst
    cdef public set late

    @cython.locals(turns=cython.longlong)
    cpdef skip(self, CallJournal journal)
    cdef list _new(self, CallJournal journal)
    cdef _turn(self, event, bint human)
    cdef _other(self, kept)
    cdef _without_metrics(self, event)
