# Types for the compiled turn_lengths.py.
cimport cython

from exporter.analysis.genai_durations cimport GenAiDurations
from exporter.sessions.session cimport Session

cdef class TurnLengths:
    cdef GenAiDurations _durations
    @cython.locals(seconds=double)
    cpdef observe(self, Session session, event, double receipt)

@cython.locals(seconds=double)
cdef double _from_outer_times(event) except? -1
