cpdef double unix_seconds(stamp) except? -1.0
