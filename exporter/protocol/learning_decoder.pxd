# Types for the compiled learning_decoder.py.
from exporter.compiled.plain_frames cimport PlainFrames

cdef class LearningDecoder:
    cdef public dict learned
    cdef PlainFrames _plain_turns
    cdef object _candidates, _decode, _decode_stream
    cdef dict _loose, _by_struct
    cpdef decode(self, frame)
