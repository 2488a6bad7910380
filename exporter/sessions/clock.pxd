# Types for the compiled clock.py: times are whole nanoseconds; 64 bits hold every plausible one.
cimport cython

cdef class PlatformClock:
    cdef long long _earliest
    cdef long long _lag

    cpdef long long at(self, double receipt) except? -1

    @cython.locals(moment=cython.longlong)
    cpdef long long event_time(self, stamp, double receipt) except? -1

    @cython.locals(lag=cython.longlong, earliest=cython.longlong, closer=cython.longlong)
    cpdef bint learn(self, long long moment, double receipt) except -1

    @cython.locals(first=cython.longlong)
    cpdef tuple window(self, double started_at, double receipt)

@cython.locals(found=cython.longlong)
cpdef long long nanoseconds(stamp) except? -1

@cython.locals(microseconds=cython.longlong)
cdef long long _nanoseconds(double seconds) except? -1

@cython.locals(microseconds=cython.longlong)
cdef long long _rounded(double seconds) except? -1
