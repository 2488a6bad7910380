# Types for the compiled cost.py.
cdef class CostCounter:
    cdef object _limiter, _prices, _cost, _unpriced
    cpdef add(self, event, double now)
