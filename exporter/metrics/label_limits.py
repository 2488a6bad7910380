"""Text from the wire → label values: normalised, masked, and limited in number.

Label values are the attack surface of a metrics store: each new value makes new series. A value over the limit becomes ``_other`` and
is counted. A value that was not used for a day is evicted when a new one needs its place.
"""

import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from exporter.metrics.phone_numbers import MASKED, CallNumbers, LabelKind, has_number, mask_numbers, mentions, number_of

OTHER = "_other"
UNKNOWN = "unknown"
PAIR = ("provider", "model")
"""The labels that are limited together: one pair is one value."""
MAX_LENGTH = 80
"""Longest label value, in characters; model names seen stay under 60."""
MAX_RAW = MAX_LENGTH * 2
"""How much of a text is read and kept, in characters."""

_ALWAYS_FIT = frozenset({UNKNOWN, OTHER})
_PAIRS = " pairs"
_KINDS: Final[dict[str, LabelKind]] = {"agent": "agent", "provider": "model", "model": "model", "llm": "model"}
"""Labels whose values are no ordinary text when numbers are masked."""
_RECENTLY = 60.0
"""Seconds between updates of last-used; little compared with the time after which a value is idle."""


@dataclass(frozen=True, slots=True)
class LabelLimits:
    """How many label values and series there may be.

    ``agents``: values of the label agent. ``pairs``: (provider, model) pairs of each component. ``values``: values of any other label
    that the wire fills. ``idle``: seconds without use after which a value may be evicted. ``allow``: values, by label, that need no
    place.
    """

    agents: int = 50
    pairs: int = 100
    values: int = 30
    series: int = 50_000
    idle: float = 86_400.0
    allow: Mapping[str, frozenset[str]] = field(default_factory=dict)


def normalise(raw: str | None, label: str = "") -> str:
    """A value of ``label`` from text of the wire: printable, at most 80 characters, phone numbers masked, empty → ``unknown``."""
    return _masked(_printable(raw[:MAX_RAW]), _KINDS.get(label, "other"))[0] if raw else UNKNOWN


@lru_cache(maxsize=4096)
def _printable(raw: str) -> str:
    text = unicodedata.normalize("NFC", raw)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else "?" for char in text)
    return text.strip()


@lru_cache(maxsize=4096)
def _masked(text: str, kind: LabelKind) -> tuple[str, bool]:
    """The value for a printable text, and whether digits that may be a number were kept in it."""
    value = _cut(mask_numbers(text, kind))
    return value, kind != "agent" and has_number(value)


def _cut(text: str) -> str:
    return text[:MAX_LENGTH].rstrip() or UNKNOWN


def pairs_of(component: str) -> str:
    """The name of the table of a component's (provider, model) pairs; it differs from the name of any label's table."""
    return component + _PAIRS


def component_of(pairs: str) -> str:
    """The component whose pairs the table ``pairs`` holds."""
    return pairs.removesuffix(_PAIRS)


class LabelTable:
    """The values of one label (or pair of labels), at most ``limit``.

    ``idle`` is after how many seconds without use a value may be evicted; ``evict`` is called with an evicted value.
    """

    def __init__(self, limit: int, idle: float, evict: Callable[[tuple[str, ...]], None]) -> None:
        self._limit = limit
        self._idle = idle
        self._evict = evict
        self.last_used: dict[tuple[str, ...], float] = {}
        """Each value, and when it was last used (unix seconds)."""
        self._none_idle_before = 0.0

    def admit(self, value: tuple[str, ...], now: float) -> bool:
        """Use ``value`` and return True, or return False if the table is full; ``now`` is in unix seconds."""
        if value not in self.last_used and len(self.last_used) >= self._limit and not self._evict_idle(now):
            return False
        self.last_used[value] = now
        return True

    def mark_used(self, value: tuple[str, ...], now: float) -> None:
        """Note that ``value``, if the table has it, is in use."""
        if value in self.last_used:
            self.last_used[value] = now

    def _evict_idle(self, now: float) -> bool:
        """Evict the value that was used least recently, if it is idle; returns whether it was."""
        if now < self._none_idle_before:
            return False
        value, last_used = min(self.last_used.items(), key=lambda item: item[1], default=((), now))
        if now - last_used < self._idle:
            self._none_idle_before = last_used + self._idle
            return False
        del self.last_used[value]
        self._evict(value)
        return True


class LabelLimiter:
    """Decides which label values enter the store.

    Each label has a table, named like the label; the (provider, model) pairs of a component have the table :func:`pairs_of` names.
    ``evict`` is called with a table's name, its label names and the values that were evicted. ``overflow`` is called with the name of
    a label whose value became ``_other``, ``masked`` with that of a label in whose value a phone number was masked.
    """

    def __init__(
        self,
        limits: LabelLimits,
        evict: Callable[[str, tuple[str, ...], tuple[str, ...]], None],
        overflow: Callable[[str], None],
        masked: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._limits = limits
        self._evict = evict
        self._overflow = overflow
        self._masked = masked
        self._call_numbers = CallNumbers()
        self._tables: dict[str, LabelTable] = {}
        self._recent: dict[tuple[str, str], str] = {}
        self._recent_until = 0.0

    def value(self, label: str, raw: str | None, now: float) -> str:
        """The label value for ``raw``: normalised, or ``_other`` when the table is full.

        A text that is a label value unchanged is cached for a minute: such texts are few, and every turn has some.
        """
        if not raw:
            return UNKNOWN
        key = (label, raw)
        if now >= self._recent_until:
            self._recent.clear()
            self._recent_until = now + _RECENTLY
        found = self._recent.get(key)
        if found is None:
            found = self.admit(label, self._normalise(label, raw), now)
            if found == raw:
                self._recent[key] = found
        return found

    def agent(self, raw: str | None, numbers: Collection[str], now: float) -> str:
        """The value of the label agent for a session whose caller and callee have these ``numbers``, as :meth:`note_numbers` returns.

        Agent ids may be bare digits, so that only the session's own numbers are masked in them.
        """
        text = _printable(raw[:MAX_RAW]) if raw else ""
        if text and not self._is_allowed("agent", text) and any(mentions(text, number) for number in numbers):
            self._masked("agent")
            return self.admit("agent", MASKED, now)
        return self.value("agent", raw, now)

    def note_numbers(self, *addresses: str | None) -> tuple[str, ...]:
        """The numbers in the caller and callee that a start event names; from now on no other label shows them."""
        numbers = tuple(filter(None, (number_of(address and address[:MAX_RAW]) for address in addresses)))
        for number in numbers:
            self._call_numbers.add(number)
        return numbers

    def admit(self, label: str, value: str, now: float) -> str:
        """The label value for a text that is normalised already, else as :meth:`value`."""
        table = self._tables.get(label)
        if table is not None and (value,) in table.last_used:
            table.last_used[value,] = now
            return value
        if value in _ALWAYS_FIT or value in self._limits.allow.get(label, ()):
            return value
        if table is None:
            table = self._new_table(label, self._limits.agents if label == "agent" else self._limits.values, (label,))
        return value if table.admit((value,), now) else self._overflowed(label)

    def pair(self, component: str, raw_provider: str | None, raw_model: str | None, now: float) -> tuple[str, str]:
        """Provider and model of a component, limited as a pair; both become ``_other`` when the table is full."""
        pair = self._normalise("provider", raw_provider), self._normalise("model", raw_model)
        allow = self._limits.allow
        if pair[0] in allow.get("provider", ()) and pair[1] in allow.get("model", ()):
            return pair
        key = pairs_of(component)
        table = self._tables.get(key) or self._new_table(key, self._limits.pairs, PAIR)
        return pair if table.admit(pair, now) else (self._overflowed("model"), OTHER)

    def mark_used(self, label: str, value: str, now: float) -> None:
        """Note that a value that was admitted earlier is still in use."""
        if label in self._tables:
            self._tables[label].mark_used((value,), now)

    def _normalise(self, label: str, raw: str | None) -> str:
        """As :func:`normalise`, with the numbers of calls masked too. Allowed values stay as they are; masked ones are counted."""
        if not raw:
            return UNKNOWN
        text = _printable(raw[:MAX_RAW])
        if self._is_allowed(label, text):
            return _cut(text)
        value, has_digits = _masked(text, _KINDS.get(label, "other"))
        if has_digits and self._call_numbers.are_in(value):
            value = MASKED
        if MASKED in value and MASKED not in text:
            self._masked(label)
        return value

    def _is_allowed(self, label: str, text: str) -> bool:
        allowed = self._limits.allow.get(label)
        return allowed is not None and _cut(text) in allowed

    def _overflowed(self, label: str) -> str:
        self._overflow(label)
        return OTHER

    def _new_table(self, key: str, limit: int, names: tuple[str, ...]) -> LabelTable:
        table = self._tables[key] = LabelTable(limit, self._limits.idle, lambda value: self._evicted(key, names, value))
        return table

    def _evicted(self, table: str, names: tuple[str, ...], values: tuple[str, ...]) -> None:
        self._recent.clear()
        self._evict(table, names, values)
