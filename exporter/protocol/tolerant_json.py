"""Frames that are JSON but for single values: numbers that are not finite, numbers beyond 64 bits, and text that is not Unicode.

The usual decoder rejects such a frame as a whole. Here only the value is lost: :class:`Unusable` stands in its place.
"""

import json
import math
from dataclasses import dataclass
from typing import Final

from exporter.catalogue.quantities import Json
from exporter.protocol.reasons import FrameRejected, RefusalReason, RejectionReason

_MOST_DIGITS: Final = 300
"""An integer with more digits is infinite as a floating-point number, or nearly."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Stands for a value that cannot be used."""

    reason: RefusalReason


NOT_FINITE: Final = Unusable(RefusalReason.NOT_FINITE)
LONE_SURROGATE: Final = Unusable(RefusalReason.LONE_SURROGATE)


def read_tolerantly(frame: str | bytes) -> Json:
    """Read a frame that the usual decoder does not read. Raises :class:`FrameRejected` if it is no JSON.

    Numbers beyond the range of floating-point numbers become infinite.
    """
    try:
        text = frame if isinstance(frame, str) else frame.decode()
    except UnicodeDecodeError:
        raise FrameRejected(RejectionReason.NOT_UTF8) from None
    if not text.strip():
        raise FrameRejected(RejectionReason.EMPTY)
    try:
        return _usable(_decoder.decode(text))
    except RecursionError:
        raise FrameRejected(RejectionReason.TOO_DEEP) from None
    except ValueError:
        raise FrameRejected(RejectionReason.NOT_JSON) from None


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
        return value if _is_unicode(value) else LONE_SURROGATE
    if isinstance(value, list):
        return [_usable(part) for part in value]
    if isinstance(value, dict):
        return {key if _is_unicode(key) else _replaced(key): _usable(part) for key, part in value.items()}
    return value


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
