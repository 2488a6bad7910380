# Types for those who compile timeline.py: times are whole nanoseconds, of which 64 bits hold every one that is believed.
cimport cython

@cython.locals(length=double)
cdef long long _ns(milliseconds) except? -1

cdef long long _date(stamp, long long low, long long high) except? -1

@cython.locals(seconds=double, found=cython.longlong)
cdef long long _unix(stamp, long long low, long long high) except? -1

cdef long long _ended(long long end, long long zero, long long length) except? -1
cdef long long _answer(e, long long zero, long long spoken, long long streamed) except? -1
cdef long long _after(long long moment, long long start, long long most) except? -1

@cython.locals(stopped=cython.longlong, perceived=cython.longlong, waited=cython.longlong, known=bint)
cdef long long _zero(e, long long low, long long high, long long agent, long long lead) except? -1

@cython.locals(end=cython.longlong, stt=cython.longlong, ttft=cython.longlong)
cdef long long _zero_of_stage(e, long long low, long long high, long long before) except? -1

@cython.locals(began=cython.longlong)
cdef long long _speech(e, long long low, long long high, long long zero) except? -1

@cython.locals(
    low=cython.longlong, high=cython.longlong, stt=cython.longlong, decision=cython.longlong, detection=cython.longlong,
    before=cython.longlong, ttft=cython.longlong, ttfb=cython.longlong, first=cython.longlong, agent=cython.longlong,
    zero=cython.longlong, heard=cython.longlong, chat_length=cython.longlong, tts_length=cython.longlong, chat=cython.longlong,
    tts=cython.longlong, said=cython.longlong, answered=cython.longlong, estimated=bint,
)
cpdef lay_out(e, tuple window)
