# Types for the compiled timeline.py: times are whole nanoseconds; 64 bits hold every plausible one.
cimport cython

@cython.locals(length=double)
cdef long long _ns(milliseconds) except? -1

cdef long long _date(stamp, long long low, long long high) except? -1

@cython.locals(seconds=double, found=cython.longlong)
cdef long long _unix(stamp, long long low, long long high) except? -1

cdef long long _start(long long end, long long length, long long speech_end) except? -1
cdef long long _length(long long start, long long end, long long longest) except? -1
cdef long long _agent_start(e, long long speech_end, long long first_audio, long long realtime_output) except? -1

@cython.locals(stopped=cython.longlong, perceived=cython.longlong, waited=cython.longlong, known=bint)
cdef long long _speech_end(e, long long low, long long high, long long agent, long long lead) except? -1

@cython.locals(end=cython.longlong, stt=cython.longlong, ttft=cython.longlong)
cdef long long _speech_end_by_stage(e, long long low, long long high, long long until_chat) except? -1

@cython.locals(began=cython.longlong)
cdef long long _user_speech(e, long long low, long long high, long long speech_end) except? -1

@cython.locals(
    low=cython.longlong, high=cython.longlong, stt=cython.longlong, decision=cython.longlong, until_detection=cython.longlong,
    until_chat=cython.longlong, ttft=cython.longlong, ttfb=cython.longlong, realtime_ttft=cython.longlong, agent=cython.longlong,
    speech_end=cython.longlong, stt_length=cython.longlong, chat_length=cython.longlong, tts_length=cython.longlong,
    chat=cython.longlong, tts=cython.longlong, agent_length=cython.longlong, realtime_end=cython.longlong,
    detection=cython.longlong, estimated=bint,
)
cpdef lay_out(e, tuple window)
