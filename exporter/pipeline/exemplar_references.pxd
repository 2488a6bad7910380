# Types for the compiled exemplar_references.py.
from exporter.sessions.session cimport Session
from exporter.tracing.processor cimport SpanProcessor

cdef class ExemplarReferences:
    cdef SpanProcessor _spans
    cpdef of(self, Session session, event)
