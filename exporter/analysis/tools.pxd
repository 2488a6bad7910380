# Types for the compiled tools.py.
cimport cython

from exporter.sessions.session cimport Session

cdef class ToolTracker:
    cdef object _store, _limiter, _durations, _tool_executions, _agent_tool_duration, _llm_available
    @cython.locals(known=dict)
    cpdef llm_availability(self, Session session, llms, double now)
