# cython: language_level=3, wraparound=False
"""Writes the spans of a turn: its times, its attributes and everything around them, in one pass over the event's values.

Does the same as :class:`exporter.tracing.turn_encoder.PythonTurnEncoder` with :mod:`exporter.tracing.timeline`, byte for byte; a property
test compares them. The comments on *why* are there.
"""

import sys

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MAX
from libc.string cimport memcpy

from exporter.compiled.attributes cimport AttributeWriter
from exporter.compiled.members cimport field_at, offset_of
from exporter.compiled.moments cimport unix_seconds
from exporter.compiled.varint cimport put_varint, varint_size

if sys.byteorder != "little":
    raise ImportError("times are copied as protobuf wants them: lowest byte first")

_NAMES = (
    *("stt_delay_ms", "turn_decision_ms", "tts_pipeline_ms", "turn_completed_callback_ms", "on_user_turn_completed_ms", "llm_ttft_ms"),
    *("tts_ttfb_ms", "realtime_ttft_ms", "llm_duration_ms", "tts_duration_ms", "tts_audio_duration_ms", "realtime_duration_ms"),
    *("user_perceived_ms", "stt_timestamp", "llm_timestamp", "tts_timestamp", "sdk_started_speaking_at", "sdk_stopped_speaking_at"),
    *("user_started_speaking_at", "user_stopped_speaking_at", "agent_started_speaking_at", "agent_stopped_speaking_at"),
    *("agent_first", "interrupted", "error_source"),
)

_IDS = ("trace", "span", "parent", "link")
_ADDITIONS = ("attributes", "events", "failed")

cdef enum:
    ID = 8
    PARENT = 2 + ID  # tag and length, then the id
    START_END = 18
    MARK_HEAD = 11
    LONGEST_MARK = 100  # so that the length of the event takes one byte
    NONE = -1  # no field

cdef long long SECOND = 1_000_000_000
cdef long long LATEST = 9_000_000_000 * SECOND, LONGEST_WAIT = 120 * SECOND, LONGEST_SPEECH = 3600 * SECOND, DISAGREEMENT = 5 * SECOND
cdef double LATEST_SECONDS = 9e9, LONGEST = 9e18


cdef inline unsigned char *put(unsigned char *at, bytes piece) noexcept:
    memcpy(at, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
    return at + PyBytes_GET_SIZE(piece)


cdef inline unsigned char *put_time(unsigned char *at, unsigned char tag, unsigned long long moment) noexcept:
    at[0] = tag
    memcpy(at + 1, &moment, 8)
    return at + 9


cdef inline unsigned char *put_start_end(unsigned char *at, long long start, long long end) noexcept:
    return put_time(put_time(at, 0x39, start), 0x41, end)  # start_time_unix_nano = 7, end_time_unix_nano = 8


cdef inline long long whole(double number) except? -1:
    """As ``int(number)``."""
    if not -LONGEST < number < LONGEST:
        raise OverflowError(f"{number} does not fit 64 bits")
    return <long long>number


cdef inline long long start_of(long long end, long long length, long long speech_end) noexcept:
    return end - length if end and 0 <= end - speech_end <= LONGEST_SPEECH else 0


cdef inline long long length_of(long long start, long long end, long long longest) noexcept:
    return end - start if end and 0 <= end - start <= longest else 0


@cython.final
cdef class TurnEncoder:
    """See :class:`exporter.tracing.turn_encoder.TurnEncoder`.

    ``entries`` are those of the attributes of turns, which are events of type ``event_type``. They stand in field ``on`` of a span, with texts
    of up to ``length`` characters. ``timed_by`` names the fields that time each stage, ``lasts`` are the last fields of a span that went well or failed. ``types`` are
    :class:`exporter.tracing.turn_encoder.TurnIds`, :class:`exporter.tracing.turn_encoder.Additions`, and what is made of joined spans and
    their number.
    """

    def __cinit__(self, list entries, event_type, unsigned char on, Py_ssize_t length, constants, tuple timed_by, tuple lasts, tuple types):
        cdef int number
        offsets = {name: offset_of(event_type, name) for name in event_type.__struct_fields__}
        self._attributes = AttributeWriter(entries, list(offsets.values()), on, length)
        if self._attributes.spans != STAGES + 1 or len(constants.stages) != STAGES or len(timed_by) != STAGES:
            raise ValueError(f"a turn has {STAGES} stages, and a span of its own")
        for number, name in enumerate(_NAMES):
            self._offset[number] = offsets[name]
        self._names, self._always, self._marks = [], [], []
        for number, same in enumerate(constants.stages):
            self._add(&self._stage[number], same, [offsets[name] for name in timed_by[number]], offsets)
        self._platform, self._estimated = constants.platform, constants.estimated
        self._succeeded, self._failed = lasts
        if len(self._platform) != 3 or len(self._estimated) != 3:
            raise ValueError("a turn ends in three ways")
        self._ids_type, self._additions_type, self._batch = types
        self._trace, self._span, self._parent, self._link = (offset_of(self._ids_type, name) for name in _IDS)
        self._more, self._events, self._failed_stage = (offset_of(self._additions_type, name) for name in _ADDITIONS)
        self._type, self._event, self.present = event_type, None, []

    cdef int _add(self, StageFields *stage, same, list times, dict offsets) except -1:
        if not isinstance(same.name, dict):
            raise TypeError(f"{same.name!r} cannot make names")
        if len(same.mark) > LONGEST_MARK or len(times) > MOST_TIMES:
            raise ValueError(f"a mark has up to {LONGEST_MARK} bytes and a stage up to {MOST_TIMES} times, not {same.mark!r} and {times}")
        stage.model = NONE if same.model is None else offsets[same.model]
        stage.first_output = NONE if same.first_output is None else offsets[same.first_output]
        stage.with_session, stage.times = same.with_session, len(times)
        for number, offset in enumerate(times):
            stage.time[number] = offset
        self._names.append(same.name)
        self._always.append(<bytes?>same.attributes)
        self._marks.append(<bytes?>same.mark)
        return 0

    cpdef begin(self, event, tuple window, long long receipt, added):
        cdef list present = [], more = self._attributes_of(added)
        cdef long long low = window[0], high = window[1]
        cdef Py_ssize_t written = 0
        cdef int stage
        cdef long long start = INT64_MAX, end = 0
        if more is not None and len(more) != STAGES + 1:
            raise ValueError(f"{len(more)} lists of attributes, not {STAGES + 1}")
        if type(event) is not self._type:
            raise TypeError(f"a turn of type {self._type.__name__} is written here, not {type(event).__name__}")
        self._event = event
        self._attributes.write(event, self._attribute_ends)
        self._lay_out(low, high)
        for stage in range(STAGES):
            if self._attribute_ends[stage] > written or (more is not None and more[stage]) or self._is_timed(&self._stage[stage]):
                present.append(stage)
                start, end = min(start, self._starts[stage]), max(end, self._ends[stage])
            written = self._attribute_ends[stage]
        if not end:
            start = end = receipt
        elif self.estimated:
            for stage in range(STAGES):
                self._starts[stage] += receipt - end
                self._ends[stage] += receipt - end
            start, end = start + receipt - end, receipt
        self.start, self.end, self.present = start, end, present

    cdef list _attributes_of(self, added):
        """What is added to each span, if anything is."""
        if type(added) is not self._additions_type:
            raise TypeError(f"{self._additions_type.__name__} are added here, not {type(added).__name__}")
        return <list?>field_at(added, self._more)

    cpdef finish(self, ids, state, long long start, added):
        cdef list more = self._attributes_of(added), names = []
        cdef object event = self._event
        if event is None or (more is not None and len(more) != STAGES + 1):
            raise ValueError("no turn was begun with these attributes")
        if type(ids) is not self._ids_type:
            raise TypeError(f"ids are {self._ids_type.__name__}, not {type(ids).__name__}")
        cdef bytes trace = <bytes?>field_at(ids, self._trace), span = <bytes?>field_at(ids, self._span)
        cdef bytes parent = <bytes?>field_at(ids, self._parent), link = <bytes?>field_at(ids, self._link)
        cdef bytes name = state.turn_name, identity = state.identity, session = state.session_part
        cdef bytes events = <bytes?>field_at(added, self._events), body
        cdef bint failed_turn = self._is_true(ERROR_SOURCE)
        cdef bytes last = self._failed if failed_turn else self._succeeded
        cdef tuple reasons = self._estimated if self.estimated else self._platform
        cdef bytes reason = reasons[2 if self._is_true(INTERRUPTED) else 0 if failed_turn else 1]
        cdef int stage, number = 0, failed = <int><object>field_at(added, self._failed_stage)
        cdef Py_ssize_t sizes[STAGES + 1]
        cdef Py_ssize_t size, total
        cdef unsigned char *at
        if len(span) != ID:
            raise ValueError(f"a span id has {ID} bytes, not {span!r}")
        if trace is None or parent is None or link is None or name is None or identity is None or session is None or events is None:
            raise TypeError("a part of a span is missing")
        self._event = None
        size = (
            PyBytes_GET_SIZE(trace) + ID + PyBytes_GET_SIZE(parent) + PyBytes_GET_SIZE(name) + START_END + PyBytes_GET_SIZE(identity)
            + PyBytes_GET_SIZE(reason) + self._attributes_size(STAGES, more) + PyBytes_GET_SIZE(events) + PyBytes_GET_SIZE(link)
            + PyBytes_GET_SIZE(last)
        )
        sizes[STAGES], total = size, 1 + varint_size(size) + size
        for stage in self.present:
            names.append(self._name(stage, event))
            sizes[stage] = size = self._stage_size(stage, event, trace, <bytes>names[number], session, failed, more)
            total += 1 + varint_size(size) + size
            number += 1
        body = PyBytes_FromStringAndSize(NULL, total)
        at = put(self._head(<unsigned char *>PyBytes_AS_STRING(body), sizes[STAGES]), trace)
        at = put_start_end(put(put(put(at, span), parent), name), start, self.end)
        at = self._put_attributes(put(put(at, identity), reason), STAGES, more)
        at = put(put(put(at, events), link), last)
        number = 0
        for stage in self.present:
            at = put(put(self._head(at, sizes[stage]), trace), span)
            (at - 1)[0] ^= <unsigned char>(stage + 1)
            at[0], at[1] = 0x22, ID  # parent_span_id = 4
            at = put_start_end(put(put(at + 2, span), <bytes>names[number]), self._starts[stage], self._ends[stage])
            at = put(at, <bytes>self._always[stage])
            if self._stage[stage].with_session:
                at = put(at, session)
            at = self._put_attributes(at, stage, more)
            at = put(self._put_mark(at, stage, event), self._failed if stage == failed else self._succeeded)
            number += 1
        return self._batch(body, number + 1)

    # The bytes of a span

    cdef inline unsigned char *_head(self, unsigned char *at, Py_ssize_t size) noexcept:
        at[0] = 0x12  # spans = 2
        return put_varint(at + 1, size)

    cdef Py_ssize_t _stage_size(self, int stage, event, bytes trace, bytes name, bytes session, int failed, list more) except -1:
        cdef Py_ssize_t size = (
            PyBytes_GET_SIZE(trace) + ID + PARENT + PyBytes_GET_SIZE(name) + START_END + PyBytes_GET_SIZE(<bytes>self._always[stage])
            + self._attributes_size(stage, more) + PyBytes_GET_SIZE(self._failed if stage == failed else self._succeeded)
        )
        if self._stage[stage].with_session:
            size += PyBytes_GET_SIZE(session)
        if self._first_output(stage, event) != <PyObject *>None:
            size += MARK_HEAD + PyBytes_GET_SIZE(<bytes>self._marks[stage])
        return size

    cdef inline PyObject *_first_output(self, int stage, event) noexcept:
        cdef Py_ssize_t place = self._stage[stage].first_output
        return <PyObject *>None if place == NONE else field_at(event, place)

    cdef unsigned char *_put_mark(self, unsigned char *at, int stage, event) except NULL:
        """The event that marks a model's first output, if it is known."""
        cdef PyObject *delay = self._first_output(stage, event)
        cdef bytes mark = <bytes>self._marks[stage]
        if delay == <PyObject *>None:
            return at
        at[0], at[1] = 0x5A, <unsigned char>(9 + PyBytes_GET_SIZE(mark))  # events = 11
        return put(put_time(at + 2, 0x09, self._starts[stage] + whole(<double><object>delay * 1e6)), mark)  # time_unix_nano = 1

    cdef inline Py_ssize_t _begin(self, int span) noexcept:
        return self._attribute_ends[span - 1] if span else 0

    cdef Py_ssize_t _attributes_size(self, int span, list more) except -1:
        cdef Py_ssize_t size = self._attribute_ends[span] - self._begin(span)
        return size if more is None else size + PyBytes_GET_SIZE(<bytes?>more[span])

    cdef unsigned char *_put_attributes(self, unsigned char *at, int span, list more) except NULL:
        cdef Py_ssize_t begin = self._begin(span), size = self._attribute_ends[span] - begin
        memcpy(at, self._attributes.buffer + begin, size)
        at += size
        return at if more is None else put(at, <bytes?>more[span])

    cdef bytes _name(self, int stage, event):
        """The span's name and kind, from the cache that makes it if it is missing."""
        cdef Py_ssize_t place = self._stage[stage].model
        cdef object cache = self._names[stage], model = None if place == NONE else <object>field_at(event, place)
        cdef PyObject *found = PyDict_GetItemWithError(cache, model)
        return <bytes?>(<object>found if found != NULL else cache[model])  # calls __missing__

    # The values of the event

    cdef inline object _value(self, int field):
        return <object>field_at(self._event, self._offset[field])

    cdef inline bint _is_known(self, int field) noexcept:
        return field_at(self._event, self._offset[field]) != <PyObject *>None

    cdef inline bint _is_true(self, int field) except -1:
        return self._is_known(field) and bool(self._value(field))

    cdef inline bint _is_timed(self, StageFields *stage) noexcept:
        cdef int number
        for number in range(stage.times):
            if field_at(self._event, stage.time[number]) != <PyObject *>None:
                return True
        return False

    cdef long long _ns(self, int field) except? -1:
        """Milliseconds as whole nanoseconds, 0 if there are none."""
        return whole(<double>self._value(field) * 1e6) if self._is_known(field) else 0

    cdef long long _either(self, int field, int other) except? -1:
        """As :meth:`_ns`, from the second field if the first has no length."""
        return self._ns(field if self._is_true(field) else other)

    cdef long long _date(self, int field, long long low, long long high) except? -1:
        """A stamp if it is from ``low`` to ``high``, else 0."""
        return self._within(unix_seconds(self._value(field)), low, high) if self._is_known(field) else 0

    cdef long long _unix(self, int field, long long low, long long high) except? -1:
        """As :meth:`_date`, for unix seconds."""
        return self._within(<double>self._value(field), low, high) if self._is_known(field) else 0

    cdef inline long long _within(self, double seconds, long long low, long long high) noexcept:
        cdef long long found
        if not 0.0 <= seconds < LATEST_SECONDS:
            return 0
        found = <long long>(seconds * 1e6 + 0.5) * 1000
        return found if low <= found <= high else 0

    # The timeline

    cdef int _lay_out(self, long long low, long long high) except -1:
        cdef long long stt = self._ns(STT_DELAY), decision = self._ns(TURN_DECISION)
        cdef long long until_detection = stt if self._is_known(TTS_PIPELINE) else 0
        cdef long long until_chat = max(stt, until_detection + decision) + self._either(CALLBACK, EARLIER_CALLBACK)
        cdef long long ttft = self._ns(LLM_TTFT), ttfb = self._ns(TTS_TTFB), realtime_ttft = self._ns(REALTIME_TTFT)
        cdef long long agent = self._date(AGENT_STARTED, low, high)
        cdef long long lead = until_chat + ttft + ttfb
        cdef long long end = self._speech_end(low, high, agent, lead if lead else realtime_ttft)
        cdef long long chat, tts, chat_length, tts_length, realtime_length, length
        if not end:
            end = self._speech_end_by_stage(low, high, until_chat, stt, ttft)
        self.estimated = not end
        if self.estimated:
            low, high, agent, end = LATEST, 0, 0, LATEST // 2
        if not stt:
            stt = length_of(end, self._unix(STT_TIMESTAMP, low, high), LONGEST_WAIT)
        chat_length, tts_length, realtime_length = self._ns(LLM_DURATION), self._ns(TTS_DURATION), self._ns(REALTIME_DURATION)
        chat_length = chat_length if chat_length else ttft
        tts_length = tts_length if tts_length else ttfb
        chat = start_of(self._unix(LLM_TIMESTAMP, low, high), chat_length, end)
        chat = chat if chat else end + until_chat
        tts = start_of(self._unix(TTS_TIMESTAMP, low, high), tts_length, end)
        tts = tts if tts else chat + ttft
        if not agent:
            agent = self._agent_start(end, tts + ttfb, realtime_ttft)
        length = length_of(agent, self._date(AGENT_STOPPED, low, high), LONGEST_SPEECH)
        self._enter(USER_SPEECH, end - self._user_speech(low, high, end), end)
        self._enter(SPEECH_TO_TEXT, end, end + stt)
        self._enter(TURN_DETECTION, end + until_detection, end + until_detection + decision)
        self._enter(CHAT, chat, chat + chat_length)
        self._enter(TEXT_TO_SPEECH, tts, tts + tts_length)
        self._enter(AGENT_SPEECH, agent, agent + (length if length else self._ns(TTS_AUDIO_DURATION)))
        self._enter(REALTIME, end, end + (realtime_length if realtime_length else realtime_ttft))
        return 0

    cdef inline void _enter(self, int stage, long long start, long long end) noexcept:
        self._starts[stage], self._ends[stage] = start, end

    cdef long long _agent_start(self, long long speech_end, long long first_audio, long long realtime_ttft) except? -1:
        if self._is_known(USER_PERCEIVED):
            return speech_end + self._ns(USER_PERCEIVED)
        return speech_end + realtime_ttft if self._is_known(REALTIME_TTFT) else first_audio

    cdef long long _speech_end(self, long long low, long long high, long long agent, long long lead) except? -1:
        cdef long long stopped = 0, perceived, waited
        cdef bint known = self._is_known(USER_PERCEIVED)
        if not self._is_true(AGENT_FIRST):
            stopped = self._date(USER_STOPPED, low, high)
            stopped = stopped if stopped else self._unix(SDK_STOPPED, low, high)
        if not agent:
            return stopped
        perceived, waited = self._ns(USER_PERCEIVED), agent - stopped
        if 0 <= waited <= LONGEST_WAIT and (not known or -DISAGREEMENT <= waited - perceived <= DISAGREEMENT):
            return stopped
        return agent - (perceived if known else lead)

    cdef long long _speech_end_by_stage(self, long long low, long long high, long long until_chat, long long stt, long long ttft) except? -1:
        cdef long long end = self._unix(STT_TIMESTAMP, low, high)
        if stt and end:
            return end - stt
        end = self._unix(LLM_TIMESTAMP, low, high)
        if end:
            stt = self._ns(LLM_DURATION)
            return end - (stt if stt else ttft) - until_chat
        end = self._unix(TTS_TIMESTAMP, low, high)
        return end - self._either(TTS_DURATION, TTS_TTFB) - ttft - until_chat if end else 0

    cdef long long _user_speech(self, long long low, long long high, long long speech_end) except? -1:
        cdef long long began = self._date(USER_STARTED, low, high)
        began = began if began else self._unix(SDK_STARTED, low, high)
        return speech_end - began if began and 0 <= speech_end - began <= LONGEST_SPEECH else 0
