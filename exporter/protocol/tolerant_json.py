"""Frames that are JSON but for single values: numbers that are not finite or beyond 64 bits, text that is not Unicode, deep nesting.

The usual decoder rejects such a frame as a whole. Here only the value is lost: :class:`Unusable` stands in its place.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Final

from exporter.catalogue.quantities import Json
from exporter.protocol.long_event import DEEPEST
from exporter.protocol.reasons import FrameRejected, RefusalReason, RejectionReason

_MOST_DIGITS: Final = 300
"""An integer with more digits is infinite as a floating-point number, or nearly."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Stands for a value that cannot be used."""

    reason: RefusalReason


NOT_FINITE: Final = Unusable(RefusalReason.NOT_FINITE)
LONE_SURROGATE: Final = Unusable(RefusalReason.LONE_SURROGATE)
TOO_DEEP: Final = Unusable(RefusalReason.TOO_DEEP)
_DEEP: Final = "\udead"
_DEEP_PART: Final = r'"\udead"'
"""Stands for a part that is too deep. It is no text that anybody can use, so it hides none."""
_bracket: Final = re.compile(r'[\[\]{}]|"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A bracket or a string. A string that does not end is the rest of the text, so that nothing is searched twice."""


def read_tolerantly(frame: str | bytes) -> Json:
    """Read a frame that the usual decoder does not read.

    Numbers beyond the range of floating-point numbers become infinite. Raises :class:`FrameRejected` if the frame is no JSON, and
    ``RecursionError`` if it is nested too deep.
    """
    text = _text(frame)
    if not text.strip():
        raise FrameRejected(RejectionReason.EMPTY)
    try:
        return _usable(_decoder.decode(text))
    except ValueError:
        raise FrameRejected(RejectionReason.NOT_JSON) from None


def read_without_depth(frame: str | bytes) -> Json:
    """Read a frame that is nested too deep, with :data:`TOO_DEEP` in place of each part below :data:`DEEPEST`.

    Raises :class:`FrameRejected` if it is no JSON.
    """
    kept: list[str] = []
    text, depth, start, end = _text(frame), 0, 0, 0
    for found in _bracket.finditer(text):
        if found[0] in "[{":
            if depth == DEEPEST:
                start = found.start()
            depth += 1
        elif found[0] in "]}":
            depth -= 1
            if depth == DEEPEST:
                kept += (text[end:start], _DEEP_PART)
                end = found.end()
    if depth:
        raise FrameRejected(RejectionReason.TOO_DEEP)
    return read_tolerantly("".join((*kept, text[end:])))


def clean(value: Json) -> tuple[Json, RefusalReason | None]:
    """``value`` with ``null`` in place of each part that cannot be used, and the reason for the last of them, if any."""
    if isinstance(value, Unusable):
        return None, value.reason
    if isinstance(value, float) and not math.isfinite(value):
        return None, RefusalReason.NEGATIVE if value < 0 else RefusalReason.TOO_LARGE
    if not isinstance(value, dict | list):
        return value, None
    reason: RefusalReason | None = None
    cleaned = value.copy()
    for place, part in value.items() if isinstance(value, dict) else enumerate(value):
        cleaned[place], why = clean(part)
        reason = why or reason
    return cleaned, reason


def _usable(value: Json) -> Json:
    if isinstance(value, str):
        return value if _is_unicode(value) else TOO_DEEP if value == _DEEP else LONE_SURROGATE
    if isinstance(value, list):
        return [_usable(part) for part in value]
    if isinstance(value, dict):
        return {key if _is_unicode(key) else _replaced(key): _usable(part) for key, part in value.items()}
    return value


def _text(frame: str | bytes) -> str:
    try:
        return frame if isinstance(frame, str) else frame.decode()
    except UnicodeDecodeError:
        raise FrameRejected(RejectionReason.NOT_UTF8) from None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _replaced(text: str) -> str:
    """``text`` with the replacement character for each half of a surrogate pair."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _integer(digits: str) -> float:
    if len(digits) > _MOST_DIGITS:
        return -math.inf if digits.startswith("-") else math.inf
    return int(digits)


_decoder: Final = json.JSONDecoder(parse_int=_integer, parse_constant=lambda _: NOT_FINITE)
