"""Phone numbers in text of the wire: which texts are masked before they become label values.

Two rules work together. The first masks what looks like a phone number: a plus, separators, a telephone address or, except in agent
ids, 10 to 15 bare digits. Identifiers look different and stay: UUIDs, hexadecimal ids, ARNs, versions, dates, and the suffixes of model
names. The second rule masks the numbers of calls, which their start events name, however they are written.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, Literal

from exporter.bounded_dict import BoundedDict

MASKED: Final = "_masked"
LabelKind = Literal["agent", "model", "other"]
"""What a label's values are: ids of agents, names of models and providers, or anything else."""

_GAP: Final = r"\s().\-/?\u2010-\u2015\u2212"
"""Characters that separate the digits of a phone number. What cannot be printed is a question mark by now."""
_PHONE: Final = re.compile(rf"\+?[\d{_GAP}]{{7,24}}")
_FEWEST_DIGITS: Final = 7
_MOST_DIGITS: Final = 18
"""A phone number has up to 15 digits, and up to three are dialled before it. A longer run of bare digits is an id."""
_DATE: Final = r"(?:19|20)\d\d([-./]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])"
_IS_DATE: Final = re.compile(rf"{_DATE}(?:[-.]\d{{1,6}})?")
_DAY: Final = r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_TIME: Final = r"(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?"
_ADDRESS: Final = r"\b(?:sips?|tel):\S+"
_SEPARATED: Final = rf"\+\d[\d{_GAP}]{{5,22}}\d|(?<!\d)(?:\(\d{{3}}\)\s?|\d{{3}}[{_GAP}])\d{{3}}[{_GAP}]\d{{4}}(?!\d)"
_BARE: Final = r"(?<!\d)\d{10,15}(?!\d)"
_IDENTIFIER: Final = (
    r"(?<![^\W_])[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}(?![^\W_])"  # a UUID
    r"|(?<![^\W_])(?=[a-f]*\d+[a-f])[\da-f]{12,}(?![^\W_])"  # a hexadecimal id
    r"|\barn:aws[\w\-]*:[^\s+()]*"
    rf"|(?<![\d.+(])\d+(?:\.\d+)*\.(?:\d(?!\d)(?:\.\d+)*|{_DAY}(?:{_TIME})?)(?!\d)"  # a version
    rf"|(?<!\d){_DAY}(?:[01]\d|2[0-3])[0-5]\d[0-5]\d(?!\d)"  # a time to the second
)
"""What looks like a number and is none. In a version a group after the first is one digit, which numbers do not have, or a date."""
_WITHIN: Final[dict[LabelKind, re.Pattern[str]]] = {
    "agent": re.compile(rf"(?P<kept>{_IDENTIFIER})|{_ADDRESS}|{_SEPARATED}", re.IGNORECASE),
    "model": re.compile(rf"(?P<kept>{_IDENTIFIER})|{_ADDRESS}|{_SEPARATED}|(?P<bare>{_BARE})", re.IGNORECASE),
    "other": re.compile(rf"(?P<kept>{_IDENTIFIER})|{_ADDRESS}|{_SEPARATED}|{_BARE}", re.IGNORECASE),
}
_IS_IDENTIFIER: Final = re.compile(_IDENTIFIER, re.IGNORECASE)
_JOINED: Final = re.compile(r"\d(?:[\W_]{0,3}\d)*")
_FEWEST_COMPARED: Final = 8
"""Digits of which two numbers share the last ones although one has a country code or a prefix and the other has none."""
_FEWEST_WHOLE: Final = 3
_MOST_NUMBERS: Final = 4_096
_LONGEST_NUMBER: Final = 24


def mask_numbers(text: str, kind: LabelKind) -> str:
    """The text, with what looks like a phone number masked."""
    if _IS_DATE.fullmatch(text) or _IS_IDENTIFIER.fullmatch(text):
        return text
    if _PHONE.fullmatch(text):
        digits = len(_digits(text))
        bare = text.isdecimal()
        if not (bare and (kind == "agent" or digits > _MOST_DIGITS)) and digits >= _FEWEST_DIGITS:
            return MASKED
    return _WITHIN[kind].sub(_replacement(text), text)


def _replacement(text: str) -> Callable[[re.Match[str]], str]:
    """What takes the place of a match: an identifier, and a suffix of a model's name, stay."""

    def replace(match: re.Match[str]) -> str:
        if match.lastgroup == "kept" or (match.lastgroup == "bare" and _is_suffix(text[: match.start()])):
            return match[0]
        return MASKED

    return replace


def _is_suffix(before: str) -> bool:
    """Whether what follows ``before`` without a space is a suffix of a name."""
    return before[-1:] in ("-", "_", ":", "/", "@", ".") and any(map(str.isalpha, before))


def number_of(address: str | None) -> str:
    """The digits of a caller or callee: a number in any format, or a telephone address. Empty if it has no number."""
    return _digits(re.sub(r"^\w+:|[@;].*$", "", address or ""))[:_LONGEST_NUMBER]


def mentions(text: str, number: str) -> bool:
    """Whether the text contains the number: its last digits in any format or, for a short number, exactly its digits."""
    if len(number) < _FEWEST_DIGITS:
        return len(number) >= _FEWEST_WHOLE and not any(map(str.isalpha, text)) and _digits(text) == number
    last = number[-_FEWEST_COMPARED:]
    return any(last in run for run in _runs(text) if not _IS_DATE.fullmatch(run) or run == number)


def has_number(text: str) -> bool:
    """Whether the text has as many digits together as a phone number, and they are no date."""
    return any(len(digits) >= _FEWEST_COMPARED and not _IS_DATE.fullmatch(digits) for digits in _runs(text))


class CallNumbers:
    """The numbers of recent calls, to recognise them in texts that do not come from a start event."""

    def __init__(self) -> None:
        self._numbers: BoundedDict[str, None] = BoundedDict(_MOST_NUMBERS)
        self._endings: dict[str, int] = {}
        """The endings of these numbers → how many of them have it."""

    def add(self, number: str) -> None:
        """Remember a number, as :func:`number_of` returns it."""
        if len(number) < _FEWEST_COMPARED or number in self._numbers:
            return
        evicted = self._numbers.add(number, None)
        for ending in _endings(number):
            self._endings[ending] = self._endings.get(ending, 0) + 1
        for ending in _endings(evicted[0]) if evicted else ():
            self._endings[ending] -= 1
            if not self._endings[ending]:
                del self._endings[ending]

    def are_in(self, text: str) -> bool:
        """Whether the text contains one of the numbers, with or without what is dialled before it."""
        return any(
            len(digits) >= _FEWEST_COMPARED and not _IS_DATE.fullmatch(digits) and self._ends_like(digits) for digits in _runs(text)
        )

    def _ends_like(self, digits: str) -> bool:
        return digits in self._endings or any(ending in self._numbers for ending in _endings(digits))


def _runs(text: str) -> set[str]:
    """The digits that stand together in a text, with and without separators between them."""
    return {*map(_digits, _JOINED.findall(text)), *map(_digits, re.findall(r"\d+", text))}


def _endings(number: str) -> Iterator[str]:
    return (number[start:] for start in range(len(number) - _FEWEST_COMPARED + 1))


def _digits(text: str) -> str:
    """The digits of a text, also those of other scripts, as 0 to 9."""
    return "".join(str(int(char)) for char in text if char.isdecimal())
