# Types for the compiled exemplar_references.py.
from exporter.sessions.session cimport Session

cdef class ExemplarReferences:
    cdef object _spans
    cpdef of(self, Session session, event)
