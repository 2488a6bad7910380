# cython: language_level=3, wraparound=False
"""Puts serialised pieces together.

The same as :func:`exporter.tracing.child_spans.in_python` and :func:`exporter.exporters.otlp.sender.requests.in_python`; tests hold them equal.
"""

import sys

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from exporter.compiled.varint cimport put_varint, varint_size

if sys.byteorder != "little":
    raise ImportError("times are copied as protobuf wants them: lowest byte first")

cdef enum:
    ID = 8
    EDGES = 18
    MARK_HEAD = 11


cdef inline unsigned char *put(unsigned char *at, bytes piece) noexcept:
    memcpy(at, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
    return at + PyBytes_GET_SIZE(piece)


cdef inline unsigned char *put_time(unsigned char *at, unsigned char tag, unsigned long long moment) noexcept:
    at[0] = tag
    memcpy(at + 1, &moment, 8)
    return at + 9


cdef bytes _child(bytes before, bytes span, bytes parent, bytes name, bytes always, bytes written, bytes mark, bytes after,
                  int child, unsigned long long start, unsigned long long end, double marked):
    cdef Py_ssize_t size = (
        PyBytes_GET_SIZE(before) + ID + PyBytes_GET_SIZE(parent) + PyBytes_GET_SIZE(name) + EDGES + PyBytes_GET_SIZE(always)
        + PyBytes_GET_SIZE(written) + (0 if mark is None else MARK_HEAD + PyBytes_GET_SIZE(mark)) + PyBytes_GET_SIZE(after)
    )
    cdef bytes made = PyBytes_FromStringAndSize(NULL, size)
    cdef unsigned char *at = put(<unsigned char *>PyBytes_AS_STRING(made), before)
    at = put(at, span)
    (at - 1)[0] ^= <unsigned char>(child + 1)
    at = put(put(at, parent), name)
    at = put_time(put_time(at, 0x39, start), 0x41, end)
    at = put(put(at, always), written)
    if mark is not None:
        at[0], at[1] = 0x5A, <unsigned char>(9 + PyBytes_GET_SIZE(mark))
        at = put(put_time(at + 2, 0x09, start + <unsigned long long>(marked * 1e6)), mark)
    put(at, after)
    return made


cdef bytes _mark(bytes name):
    """The serialised name of an event, which has no length of two bytes."""
    if name is None or len(name) > 100:
        raise ValueError(f"{name!r} is no short name of an event")
    return name


def child_spans(tuple found not None, tuple parts not None, tuple within not None):
    """As there."""
    cdef list present, starts, ends, written, spans = []
    cdef tuple marked, names, always, marks, tails
    cdef bytes before, span, parent
    cdef int child, failed
    cdef object at
    present, starts, ends, written, marked, failed = found
    names, always, marks, tails = parts
    before, span, parent = within
    if span is None or len(span) != ID:
        raise ValueError(f"{span!r} is no span id")
    for child in present:
        at = marked[child]
        spans.append(
            _child(<bytes?>before, span, <bytes?>parent, <bytes?>names[child], <bytes?>always[child], <bytes?>written[child],
                   None if at is None else _mark(marks[child]), <bytes?>tails[child == failed], child, starts[child], ends[child],
                   0.0 if at is None else at)
        )
    return spans


def together(spans):
    """As there."""
    cdef list listed = list(spans)
    cdef Py_ssize_t total = 0, size
    cdef bytes span, body
    cdef unsigned char *at
    for span in listed:
        size = len(span)
        total += 1 + varint_size(size) + size
    body = PyBytes_FromStringAndSize(NULL, total)
    at = <unsigned char *>PyBytes_AS_STRING(body)
    for span in listed:
        size = len(span)
        at[0] = 0x12
        at = put(put_varint(at + 1, size), span)
    return body
