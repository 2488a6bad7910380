# Types for the compiled latency_breakdown.py.
cimport cython

from exporter.sessions.session cimport Session

cdef class LatencyBreakdown:
    cdef object _store, _limiter, _component, _negative_rest, _slow
    cdef double _slow_turn_ms
    cdef public object on_slow
    @cython.locals(known=dict, part=double, rows=list, row=list, parts=tuple, index=cython.Py_ssize_t)
    cpdef add(self, Session session, event, double now)

@cython.locals(stt=double, decision=double, detection=double, callback=double, llm=double, tts=double, realtime=double)
cpdef tuple parts_of(event, double perceived_ms)
