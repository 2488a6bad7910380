# cython: language_level=3, wraparound=False
"""Joins serialised parts of spans.

Equal to :func:`exporter.tracing.stage_spans.python_stage_spans` and :func:`exporter.exporters.otlp.sender.requests.python_join`, byte for
byte; tests compare them.
"""

import sys

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from exporter.compiled.varint cimport put_varint, varint_size

if sys.byteorder != "little":
    raise ImportError("times are copied as protobuf wants them: lowest byte first")

cdef enum:
    ID = 8
    PARENT = 2 + ID  # tag and length, then the id
    START_END = 18
    MARK_HEAD = 11


cdef inline unsigned char *put(unsigned char *at, bytes piece) noexcept:
    memcpy(at, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
    return at + PyBytes_GET_SIZE(piece)


cdef inline unsigned char *put_time(unsigned char *at, unsigned char tag, unsigned long long moment) noexcept:
    at[0] = tag
    memcpy(at + 1, &moment, 8)
    return at + 9


cdef bytes _stage(bytes trace, bytes span, bytes name, bytes always, bytes session, bytes attributes, bytes mark, bytes status,
                  int stage, unsigned long long start, unsigned long long end, double delay):
    cdef Py_ssize_t size = (
        PyBytes_GET_SIZE(trace) + ID + PARENT + PyBytes_GET_SIZE(name) + START_END + PyBytes_GET_SIZE(always)
        + PyBytes_GET_SIZE(session) + PyBytes_GET_SIZE(attributes) + (0 if mark is None else MARK_HEAD + PyBytes_GET_SIZE(mark)) + PyBytes_GET_SIZE(status)
    )
    cdef bytes made = PyBytes_FromStringAndSize(NULL, size)
    cdef unsigned char *at = put(<unsigned char *>PyBytes_AS_STRING(made), trace)
    at = put(at, span)
    (at - 1)[0] ^= <unsigned char>(stage + 1)
    at[0], at[1] = 0x22, ID  # parent_span_id = 4
    at = put(put(at + 2, span), name)
    at = put_time(put_time(at, 0x39, start), 0x41, end)  # start_time_unix_nano = 7, end_time_unix_nano = 8
    at = put(put(put(at, always), session), attributes)
    if mark is not None:
        at[0], at[1] = 0x5A, <unsigned char>(9 + PyBytes_GET_SIZE(mark))  # events = 11
        at = put(put_time(at + 2, 0x09, start + <unsigned long long>(delay * 1e6)), mark)  # time_unix_nano = 1
    put(at, status)
    return made


cdef bytes _mark(bytes name):
    """The serialised name of an event. It is short, so that the event's length takes one byte."""
    if name is None or len(name) > 100:
        raise ValueError(f"the name of an event has up to 100 bytes, not {name!r}")
    return name


def stage_spans(bytes trace not None, bytes span not None, stages, constants):
    """Write the spans of the stages that are present; see :func:`exporter.tracing.stage_spans.python_stage_spans`."""
    cdef list starts = stages.starts, ends = stages.ends, attributes = stages.attributes, spans = []
    cdef tuple names = stages.names, first_output = stages.first_output
    cdef tuple always = constants.attributes, marks = constants.first_output, with_session = constants.with_session
    cdef bytes session = stages.session, nothing = b""
    cdef bytes succeeded = constants.succeeded, failed = constants.failed
    cdef int stage, failed_stage = stages.failed
    cdef object delay
    if len(span) != ID:
        raise ValueError(f"a span id has {ID} bytes, not {span!r}")
    for stage in <list?>stages.present:
        delay = first_output[stage]
        spans.append(
            _stage(trace, span, <bytes?>names[stage], <bytes?>always[stage], <bytes?>(session if with_session[stage] else nothing),
                   <bytes?>attributes[stage],
                   None if delay is None else _mark(marks[stage]), <bytes?>(failed if stage == failed_stage else succeeded),
                   stage, starts[stage], ends[stage], 0.0 if delay is None else delay)
        )
    return spans


def join(spans):
    """Join serialised spans as they stand in a request; see :func:`exporter.exporters.otlp.sender.requests.python_join`."""
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
        at[0] = 0x12  # spans = 2
        at = put(put_varint(at + 1, size), span)
    return body
