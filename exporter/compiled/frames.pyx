# cython: language_level=3, wraparound=False
"""Takes whole messages out of the bytes that the peer of a WebSocket has sent.

Equal to ``WebSocketProtocol._whole_frame`` of :mod:`exporter.server.uvicorn_protocols`, for the frames that it takes; a property test
compares both with the library.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

cdef extern from "Python.h":
    object PyUnicode_DecodeUTF8(const char *text, Py_ssize_t size, const char *errors)

cdef enum:
    TEXT = 0x81  # first byte of a frame that holds a whole message, without extensions (RFC 6455, section 5.2)
    BINARY = 0x82
    MASKED = 0x80
    TWO_BYTES = 126  # length that says that two bytes with the length follow
    KEY = 4
    LONGEST = 8192

cdef unsigned char[LONGEST] unmasked  # the content of one frame at a time


cdef void unmask(const unsigned char *content, Py_ssize_t size, const unsigned char *key) noexcept:
    """Write the content without its mask to ``unmasked``, eight bytes at a time."""
    cdef unsigned long long word, mask
    cdef Py_ssize_t at = 0
    memcpy(&mask, key, KEY)
    memcpy(<unsigned char *>&mask + KEY, key, KEY)
    while at + 8 <= size:
        memcpy(&word, content + at, 8)
        word ^= mask
        memcpy(unmasked + at, &word, 8)
        at += 8
    while at < size:
        unmasked[at] = content[at] ^ key[at & 3]
        at += 1


def take_messages(bytes read not None, Py_ssize_t at, Py_ssize_t stop, Py_ssize_t longest):
    """Take the messages of whole, masked frames that begin from ``at`` to ``stop``, until another frame or an incomplete one comes.

    Returns the offset of what was not taken, and the messages as the application receives them. Frames longer than ``longest`` and
    texts that are not UTF-8 are not taken. Raises ``ValueError`` if ``longest`` is more than 8192.
    """
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(read)
    cdef Py_ssize_t end = PyBytes_GET_SIZE(read), size, body
    cdef list messages = []
    if longest > LONGEST or at < 0:
        raise ValueError(f"frames of up to {longest} bytes from {at} on cannot be taken")
    while at < stop and at + 2 <= end:
        if (data[at] != TEXT and data[at] != BINARY) or not data[at + 1] & MASKED:
            break
        size, body = data[at + 1] & ~MASKED, at + 2
        if size > TWO_BYTES or (size == TWO_BYTES and body + 2 > end):
            break
        if size == TWO_BYTES:
            size = data[body] << 8 | data[body + 1]
            body += 2
        body += KEY
        if body + size > end or body + size - at > longest:
            break
        unmask(data + body, size, data + body - KEY)
        if data[at] == TEXT:
            try:
                messages.append({"type": "websocket.receive", "text": PyUnicode_DecodeUTF8(<char *>unmasked, size, NULL)})
            except UnicodeDecodeError:
                break
        else:
            messages.append({"type": "websocket.receive", "bytes": PyBytes_FromStringAndSize(<char *>unmasked, size)})
        at = body + size
    return at, messages
