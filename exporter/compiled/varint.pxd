# Protobuf's varints, for the modules beside this one.

cdef inline Py_ssize_t varint_size(unsigned long long number) noexcept:
    """How many bytes a number takes as a varint."""
    cdef Py_ssize_t size = 1
    while number > 127:
        number >>= 7
        size += 1
    return size


cdef inline unsigned char *put_varint(unsigned char *at, unsigned long long number) noexcept:
    """Write a number as a varint; returns the position behind it."""
    while number > 127:
        at[0] = <unsigned char>(number & 127 | 128)
        number >>= 7
        at += 1
    at[0] = <unsigned char>number
    return at + 1
