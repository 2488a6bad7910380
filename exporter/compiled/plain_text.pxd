# How plain JSON is found in bytes, for the modules written in Cython. A zero byte follows the last byte.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

ctypedef const unsigned char *Text

cdef enum:
    QUOTE = 0x22
    BACKSLASH = 0x5C
    OPENING_BRACE = 0x7B
    CLOSING_BRACE = 0x7D
    OPENING_BRACKET = 0x5B
    CLOSING_BRACKET = 0x5D
    COMMA = 0x2C
    COLON = 0x3A
    SPACE = 0x20
    ZERO = 0x30
    POINT = 0x2E
    DASH = 0x2D

cdef enum:
    MOST_DIGITS = 18  # that fit into 64 bits

cdef enum:
    E = 0x65
    N = 0x6E
    T = 0x54
    Z = 0x5A

cdef extern from *:
    """
    #define ONES 0x0101010101010101ULL
    """
    uint64_t ONES


cdef inline uint64_t word_at(Text at) noexcept:
    cdef uint64_t word
    memcpy(&word, at, 8)
    return word


cdef inline Text end_of_plain(Text at, Text end) noexcept:
    """Where the next byte is that is a quote, a backslash, a control character or not ASCII; or the end. Eight bytes at a time."""
    cdef uint64_t word, quote, slash, found
    while at + 8 <= end:
        word = word_at(at)
        quote, slash = word ^ (ONES * QUOTE), word ^ (ONES * BACKSLASH)
        found = ((quote - ONES) | (slash - ONES) | (word - ONES * SPACE) | word) & (ONES * 0x80)
        if found:  # exact for the first such byte but for bytes that are not ASCII, which are looked for below
            break
        at += 8
    while at < end and SPACE <= at[0] < 0x80 and at[0] != QUOTE and at[0] != BACKSLASH:
        at += 1
    return at


cdef inline bint begins(Text at, Text end, bytes other) noexcept:
    """Whether the other bytes stand here, at least eight. Their end is compared first, in which they differ most."""
    cdef Text wanted = <Text>PyBytes_AS_STRING(other)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(other)
    return end - at >= size and word_at(at + size - 8) == word_at(wanted + size - 8) and memcmp(at, wanted, size) == 0


cdef inline bint is_digit(unsigned char byte) noexcept:
    return <unsigned char>(byte - ZERO) <= 9


cdef inline int digits(Text at, int count) noexcept:
    """The number that so many digits make, or -1 if there are not so many."""
    cdef int found = 0, number
    for number in range(count):
        if not is_digit(at[number]):
            return -1
        found = found * 10 + at[number] - ZERO
    return found


cdef inline Text unquoted(Text at, Text end) noexcept:
    """Where the closing quote of a string is whose content goes on here, or NULL if there is none."""
    while at < end and at[0] != QUOTE:
        at += 2 if at[0] == BACKSLASH else 1
    return at if at < end else NULL


cdef inline Text after_word(Text at, Text end, const char *word, Py_ssize_t size) noexcept:
    """What follows the word that stands here, or NULL if another one does."""
    return at + size if end - at >= size and memcmp(at, word, size) == 0 else NULL


cdef inline Text after_scalar(Text at, Text end) noexcept:
    """What follows the text, number or truth value that stands here, or NULL if it is none or an unusual one."""
    cdef Text begin
    if at[0] == QUOTE:
        at = end_of_plain(at + 1, end)
        return at + 1 if at[0] == QUOTE else NULL
    begin = after_word(at, end, "true", 4)
    if begin == NULL:
        begin = after_word(at, end, "false", 5)
    if begin != NULL:
        return begin
    begin = at = at + (at[0] == DASH)
    while is_digit(at[0]):
        at += 1
    if at == begin or (begin[0] == ZERO and at - begin > 1):
        return NULL
    if at[0] == POINT and is_digit(at[1]):
        at += 1
        while is_digit(at[0]):
            at += 1
    return at if at - begin <= MOST_DIGITS else NULL  # what else may follow a number is neither a comma nor the end
