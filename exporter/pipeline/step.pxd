# Types for the compiled step.py.
cdef class Step:
    cdef public object timestamp, handler, turn_reference, record, add_to_spans, keep
    cdef public list events_row
