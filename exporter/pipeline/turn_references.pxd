# Types for the compiled turn_references.py.
from exporter.sessions.session cimport Session

cdef class TurnReferences:
    cdef object _spans
    cpdef of(self, Session session, event)
