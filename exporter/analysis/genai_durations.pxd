# Types for the compiled genai_durations.py.
from exporter.sessions.session cimport Session

cdef class GenAiDurations:
    cdef object _store, _invocations, _tools
    cdef bint _wanted
    cpdef turn(self, Session session, double seconds, error_source, double now)
