# Types for the compiled call_journal.py.
cimport cython

cdef class CallJournal:
    cdef public object memory, session, ended_at, end_reason, cost, facts, written, tally
    cdef public str id
    cdef public list entries
    cdef public long long granted, room, dropped, dropped_turns

    cpdef keep_turn(self, bytes packed)

    cpdef keep(self, event, long long weight, double now)

    cpdef list since(self, long long position)

    @cython.locals(entries=list, freed=cython.longlong, turn_weight=cython.longlong, turns=cython.longlong, end=Py_ssize_t)
    cpdef drop(self, long long wanted)
