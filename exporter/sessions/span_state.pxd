# Types for the compiled span_state.py: every event with spans reads a session's state without a look-up.
from exporter.sessions.clock cimport PlatformClock

cdef class SpanBuffer:
    cdef public dict attributes
    cdef public list events, tools
    cdef public long long dropped

    cpdef add_event(self, bytes event)
    cpdef bint add_tool(self, call) except -1

cdef class SpanState:
    cdef public object id, agent, trace, waiting_turns, without_metrics, running_agents, open_tool_calls, reported, unwritten_root
    cdef public bytes root_id, own_id, trace_part, parent_part, identity, session_part, turn_name
    cdef public bint sampled, collects, kept, finished, failed
    cdef public PlatformClock clock
    cdef public SpanBuffer root_buffer, turn_buffer
    cdef public double started_at
    cdef public long long continued, span_start, span_end, tool_count, unnumbered, turn_count, highest_turn, turn_length

    cpdef SpanBuffer for_turn(self)
    cpdef SpanBuffer for_root(self)
    cpdef SpanBuffer pop_buffer(self, key)
    cpdef bint is_late(self, key) except -1
    cpdef note_turn(self, key)
    cpdef bint may_repeat(self, key) except -1
    cpdef extend(self, long long start, long long end)
    cpdef long long next_tool(self) except -1
