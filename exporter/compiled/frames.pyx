# cython: language_level=3, wraparound=False
"""Takes whole messages out of the bytes that the peer of a WebSocket has sent.

Equal to ``WebSocketProtocol._whole_frame`` of :mod:`exporter.server.uvicorn_protocols`, for the frames that it takes; a property test
compares both with the library.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

cdef extern from "Python.h":
    object PyUnicode_DecodeUTF8(const char *text, Py_ssize_t size, const char *errors)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 most)
    void *PyUnicode_DATA(object text)

cdef enum:
    TEXT = 0x81  # first byte of a frame that holds a whole message, without extensions (RFC 6455, section 5.2)
    BINARY = 0x82
    MASKED = 0x80
    TWO_BYTES = 126  # length that says that two bytes with the length follow
    KEY = 4
    LONGEST = 8192


cdef bint unmask(const unsigned char *content, Py_ssize_t size, const unsigned char *key, unsigned char *unmasked) noexcept:
    """Write the content without its mask, eight bytes at a time. Returns whether all of it is ASCII."""
    cdef unsigned long long word, mask, seen = 0
    cdef Py_ssize_t at = 0
    memcpy(&mask, key, KEY)
    memcpy(<unsigned char *>&mask + KEY, key, KEY)
    while at + 8 <= size:
        memcpy(&word, content + at, 8)
        word ^= mask
        seen |= word
        memcpy(unmasked + at, &word, 8)
        at += 8
    while at < size:
        unmasked[at] = content[at] ^ key[at & 3]
        seen |= unmasked[at]
        at += 1
    return not seen & <unsigned long long>0x8080808080808080


def take_messages(bytes read not None, Py_ssize_t at, Py_ssize_t stop, Py_ssize_t longest, Py_ssize_t most):
    """Take up to ``most`` messages of whole, masked frames that begin from ``at`` to ``stop``, until another or an incomplete frame comes.

    Returns the offset of what was not taken, and the messages as the application receives them. Frames longer than ``longest`` and
    texts that are not UTF-8 are not taken. Raises ``ValueError`` if ``longest`` is more than 8192.
    """
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(read)
    cdef Py_ssize_t end = PyBytes_GET_SIZE(read), size, body
    cdef unsigned char *unmasked
    cdef list messages = []
    if longest > LONGEST or at < 0:
        raise ValueError(f"frames of up to {longest} bytes from {at} on cannot be taken")
    while at < stop and at + 2 <= end and len(messages) < most:
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
        if data[at] == TEXT:
            text = PyUnicode_New(size, 127)  # seen by nobody unless it is ASCII
            unmasked = <unsigned char *>PyUnicode_DATA(text)
            if not unmask(data + body, size, data + body - KEY, unmasked):
                try:
                    text = PyUnicode_DecodeUTF8(<char *>unmasked, size, NULL)
                except UnicodeDecodeError:
                    break
            messages.append({"type": "websocket.receive", "text": text})
        else:
            content = PyBytes_FromStringAndSize(NULL, size)
            unmask(data + body, size, data + body - KEY, <unsigned char *>PyBytes_AS_STRING(content))
            messages.append({"type": "websocket.receive", "bytes": content})
        at = body + size
    return at, messages
