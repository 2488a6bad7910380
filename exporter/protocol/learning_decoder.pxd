# Types for the compiled learning_decoder.py.
cdef class LearningDecoder:
    cdef public dict learned
    cdef object _candidates, _decode, _decode_stream
    cdef dict _loose, _by_struct
    cpdef decode(self, frame)
