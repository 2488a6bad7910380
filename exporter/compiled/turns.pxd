# The writer of a turn's spans, for the modules that use it and are compiled too.
cimport cython
from cpython.ref cimport PyObject

from exporter.compiled.attributes cimport AttributeWriter

cdef enum:
    USER_SPEECH, SPEECH_TO_TEXT, TURN_DETECTION, CHAT, TEXT_TO_SPEECH, AGENT_SPEECH, REALTIME
    STAGES  # how many; as a place in a list, the turn itself

cdef enum:
    STT_DELAY, TURN_DECISION, TTS_PIPELINE, CALLBACK, EARLIER_CALLBACK, LLM_TTFT, TTS_TTFB, REALTIME_TTFT, LLM_DURATION, TTS_DURATION
    TTS_AUDIO_DURATION, REALTIME_DURATION, USER_PERCEIVED, STT_TIMESTAMP, LLM_TIMESTAMP, TTS_TIMESTAMP, SDK_STARTED, SDK_STOPPED
    USER_STARTED, USER_STOPPED, AGENT_STARTED, AGENT_STOPPED, AGENT_FIRST, INTERRUPTED, ERROR_SOURCE
    FIELDS

cdef enum:
    MOST_TIMES = 4

cdef struct StageFields:
    Py_ssize_t model
    Py_ssize_t first_output
    bint with_session
    int times  # how many fields say when the stage was
    Py_ssize_t time[MOST_TIMES]


@cython.final
cdef class TurnEncoder:
    cdef AttributeWriter _attributes
    cdef object _batch
    cdef object _ids_type
    cdef object _additions_type
    cdef object _type
    cdef object _event
    cdef Py_ssize_t _offset[FIELDS]
    cdef Py_ssize_t _trace, _span, _parent, _link
    cdef Py_ssize_t _more, _events, _failed_stage
    cdef StageFields _stage[STAGES]
    cdef list _names
    cdef list _always
    cdef list _marks
    cdef tuple _platform
    cdef tuple _estimated
    cdef bytes _succeeded
    cdef bytes _failed
    cdef long long _starts[STAGES]
    cdef long long _ends[STAGES]
    cdef Py_ssize_t _attribute_ends[STAGES + 1]
    cdef readonly long long start
    cdef readonly long long end
    cdef readonly bint estimated
    cdef readonly list present

    cpdef begin(self, event, tuple window, long long receipt, added)
    cpdef finish(self, ids, state, long long start, added)
    cdef int _add(self, StageFields *stage, same, list times, dict offsets) except -1
    cdef list _attributes_of(self, added)
    cdef unsigned char *_head(self, unsigned char *at, Py_ssize_t size) noexcept
    cdef Py_ssize_t _stage_size(self, int stage, event, bytes trace, bytes name, bytes session, int failed, list more) except -1
    cdef PyObject *_first_output(self, int stage, event) noexcept
    cdef unsigned char *_put_mark(self, unsigned char *at, int stage, event) except NULL
    cdef Py_ssize_t _begin(self, int span) noexcept
    cdef Py_ssize_t _attributes_size(self, int span, list more) except -1
    cdef unsigned char *_put_attributes(self, unsigned char *at, int span, list more) except NULL
    cdef bytes _name(self, int stage, event)
    cdef object _value(self, int field)
    cdef bint _is_known(self, int field) noexcept
    cdef bint _is_true(self, int field) except -1
    cdef bint _is_timed(self, StageFields *stage) noexcept
    cdef long long _ns(self, int field) except? -1
    cdef long long _either(self, int field, int other) except? -1
    cdef long long _date(self, int field, long long low, long long high) except? -1
    cdef long long _unix(self, int field, long long low, long long high) except? -1
    cdef long long _within(self, double seconds, long long low, long long high) noexcept
    cdef int _lay_out(self, long long low, long long high) except -1
    cdef void _enter(self, int stage, long long start, long long end) noexcept
    cdef long long _agent_start(self, long long speech_end, long long first_audio, long long realtime_ttft) except? -1
    cdef long long _speech_end(self, long long low, long long high, long long agent, long long lead) except? -1
    cdef long long _speech_end_by_stage(self, long long low, long long high, long long until_chat, long long stt, long long ttft) except? -1
    cdef long long _user_speech(self, long long low, long long high, long long speech_end) except? -1
