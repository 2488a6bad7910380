# Types for the compiled session.py: compiled modules read a session's attributes without a look-up.
from exporter.metrics.series_cache cimport SeriesCache
from exporter.sessions.call_journal cimport CallJournal
from exporter.sessions.span_state cimport SpanState
from exporter.sessions.turn_taking_state cimport TurnTakingState

cdef class ParticipantState:
    cdef public str name
    cdef public double since, received

cdef class Session:
    cdef public object id, trace_id, call_id, agent, agent_label, numbers, answered_by, continued, connections
    cdef public object turns, pending_turns, turns_completed, metrics_received, unmatched_metrics
    cdef public object states, running_agent_tools, usage, models, app
    cdef public SeriesCache series_cache
    cdef public TurnTakingState turn_taking
    cdef public SpanState spans
    cdef public CallJournal journal
    cdef public double started_at, last_event_at, models_at
    cdef public bint has_generated_id, saw_start, ended, over, end_recorded, format_counted, reported_missing
