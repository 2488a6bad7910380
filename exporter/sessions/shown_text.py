"""Text from the wire as /live shows it: bounded, and without phone numbers."""

from functools import lru_cache
from typing import Final

from exporter.metrics.phone_numbers import MASKED, mask_numbers, mentions

LONGEST: Final = 200
"""Characters of a text that is shown."""


def shown(text: str | None) -> str | None:
    """The text, with what looks like a phone number masked. The empty text is none."""
    return _shown(text[: LONGEST * 2]) if text else None


@lru_cache(maxsize=4096)
def shown_id(text: str | None, numbers: tuple[str, ...]) -> str | None:
    """As :func:`shown`, for an id of a call: it is masked if it contains one of the call's ``numbers``."""
    if text and numbers and any(mentions(text, number) for number in numbers):
        return MASKED
    return shown(text)


@lru_cache(maxsize=4096)
def _shown(text: str) -> str:
    return mask_numbers(text, "model")[:LONGEST]
