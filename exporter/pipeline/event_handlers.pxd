# Types for the compiled event_handlers.py.
from exporter.analysis.cost cimport CostCounter
from exporter.analysis.latency_breakdown cimport LatencyBreakdown
from exporter.analysis.tools cimport ToolTracker
from exporter.analysis.turn_position cimport TurnPositionTracker
from exporter.analysis.turn_counter cimport TurnCounter
from exporter.sessions.session cimport Session

cdef class EventHandlers:
    cdef object _trackers, _sessions, _spans, _on_answer, _on_lag, _handlers
    cdef CostCounter _cost
    cdef LatencyBreakdown _latency_breakdown
    cdef ToolTracker _tools
    cdef TurnPositionTracker _turn_position
    cdef TurnCounter _turns
    cdef public object on_failed
    cpdef _turn_metrics(self, Session session, event, double now)
