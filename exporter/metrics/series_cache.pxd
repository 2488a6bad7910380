# Types for the compiled series_cache.py.
cdef class SeriesCache:
    cdef public str agent, answered_by
    cdef public list rows, full_rows, latest
    cdef public dict app_commands, audio, audio_jitter, invocations, latency_breakdown, llms, states, turn_position, turns
