# Types for the compiled call_reader.py.

cdef class CallReader:
    cdef object _feed, _consume, _long_messages
    cdef double _max_rate, _tokens
    cdef public double received_at
    cdef public long long left

    cdef bint _read(self, dict message, double now) except -1
    cdef _refill(self, double now)
    cdef bint _take_token(self, double now) except -1
