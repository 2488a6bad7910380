# Types for the compiled turn_position.py.
from exporter.sessions.session cimport Session

cdef class TurnPositionTracker:
    cdef object _store, _changes, _latency, _prompt
    cpdef add(self, Session session, event, double now)

cpdef position_of(int number)
cdef _start_of(stamp, double now)
