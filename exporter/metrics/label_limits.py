"""Text from the wire → label values: normalised, masked, and bounded in number.

Label values are the attack surface of a metrics store: each new one makes new series. What does not fit becomes ``_other`` and is
counted; values idle for a day give up their place.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

OTHER = "_other"
UNKNOWN = "unknown"
MASKED = "_masked"
PAIR = ("provider", "model")
"""The labels that are bounded together."""
MAX_LENGTH = 80
"""Longest label value, in characters; model names seen stay under 60."""
MAX_RAW = MAX_LENGTH * 2
"""How much of a text is looked at, in characters; nothing longer is remembered."""

_ALWAYS_FIT = frozenset({UNKNOWN, OTHER})
_PAIRS = " pairs"
_PHONE = re.compile(r"\+?[\d\s().\-]{7,24}")
_NUMBER_WITHIN = re.compile(
    r"\b(?:sips?|tel):\S+"
    r"|\+\d[\d\s().\-]{5,22}\d"
    r"|(?<!\d)\d{10,15}(?!\d)"
    r"|(?<!\d)(?:\(\d{3}\)\s?|\d{3}[\s.\-])\d{3}[\s.\-]\d{4}(?!\d)",
    re.IGNORECASE,
)
_UUID = re.compile(r"(?:[a-z_\-]*[\-_])?[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}", re.IGNORECASE)
_FEWEST_PHONE_DIGITS = 7
_RECENTLY = 60.0
"""How long an admitted value need not show again that it is in use, in seconds; little beside the time after which it is idle."""


@dataclass(frozen=True, slots=True)
class LabelLimits:
    """How many label values and series there may be.

    ``allow`` holds values per label that always fit; ``idle`` is in seconds.
    """

    agents: int = 50
    pairs: int = 100
    values: int = 30
    series: int = 50_000
    idle: float = 86_400.0
    allow: Mapping[str, frozenset[str]] = field(default_factory=dict)


def normalise(raw: str | None) -> str:
    """A label value from text of the wire: printable, at most 80 characters, phone numbers masked, nothing → ``unknown``."""
    return _normalised(raw[:MAX_RAW]) if raw else UNKNOWN


@lru_cache(maxsize=4096)
def _normalised(raw: str) -> str:
    text = unicodedata.normalize("NFC", raw)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else "?" for char in text)
    return _masked(text.strip())[:MAX_LENGTH].rstrip() or UNKNOWN


def _masked(text: str) -> str:
    """The text without phone numbers; dates and UUIDs, which look like them, stay."""
    if _UUID.fullmatch(text) or _is_date(text):
        return text
    if _PHONE.fullmatch(text) and sum(map(str.isdigit, text)) >= _FEWEST_PHONE_DIGITS:
        return MASKED
    return _NUMBER_WITHIN.sub(MASKED, text)


def _is_date(text: str) -> bool:
    return re.fullmatch(r"(19|20)\d\d[-.]?\d\d[-.]?\d\d", text) is not None


def pairs_of(component: str) -> str:
    """The table of a component's (provider, model) pairs; a label may have the component's name."""
    return component + _PAIRS


def component_of(pairs: str) -> str:
    """The component whose pairs are in the table ``pairs``."""
    return pairs.removesuffix(_PAIRS)


class LabelTable:
    """The values one label (or pair of labels) has room for, and when each was last used."""

    def __init__(self, room: int, idle: float, evict: Callable[[tuple[str, ...]], None]) -> None:
        self._room = room
        self._idle = idle
        self._evict = evict
        self.last_used: dict[tuple[str, ...], float] = {}
        """The values that have a place, and when each was last used, in unix seconds."""
        self._none_idle_before = 0.0

    def admit(self, value: tuple[str, ...], now: float) -> bool:
        """Whether ``value`` has or gets a place; ``now`` is in unix seconds."""
        if value not in self.last_used and len(self.last_used) >= self._room and not self._make_room(now):
            return False
        self.last_used[value] = now
        return True

    def keep(self, value: tuple[str, ...], now: float) -> None:
        """``value``, if it has a place, is in use."""
        if value in self.last_used:
            self.last_used[value] = now

    def _make_room(self, now: float) -> bool:
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

    Each label has a table of its own, named like it; the (provider, model) pairs of a component have the table :func:`pairs_of` names.
    ``evict`` is called with the table, and the label names and values, whose place was given away, ``overflow`` with the name of a
    label that did not fit.
    """

    def __init__(
        self,
        limits: LabelLimits,
        evict: Callable[[str, tuple[str, ...], tuple[str, ...]], None],
        overflow: Callable[[str], None],
    ) -> None:
        self._limits = limits
        self._evict = evict
        self._overflow = overflow
        self._tables: dict[str, LabelTable] = {}
        self._recent: dict[tuple[str, str], str] = {}
        self._recent_until = 0.0

    def value(self, label: str, raw: str | None, now: float) -> str:
        """The value a label may carry for ``raw``: normalised, or ``_other`` when there is no room.

        What was admitted as it stands is remembered for a while: those are few, and looked for with every turn.
        """
        if not raw:
            return UNKNOWN
        key = (label, raw)
        if now >= self._recent_until:
            self._recent.clear()
            self._recent_until = now + _RECENTLY
        found = self._recent.get(key)
        if found is None:
            found = self.admit(label, normalise(raw), now)
            if found == raw:
                self._recent[key] = found
        return found

    def admit(self, label: str, value: str, now: float) -> str:
        """As :meth:`value`, for what is normalised already."""
        table = self._tables.get(label)
        if table is not None and (value,) in table.last_used:
            table.last_used[value,] = now
            return value
        if value in _ALWAYS_FIT or value in self._limits.allow.get(label, ()):
            return value
        if table is None:
            table = self._new_table(label, self._limits.agents if label == "agent" else self._limits.values, (label,))
        return value if table.admit((value,), now) else self._refuse(label)

    def pair(self, component: str, raw_provider: str | None, raw_model: str | None, now: float) -> tuple[str, str]:
        """Provider and model of a component, bounded together; both become ``_other`` when there is no room."""
        pair = normalise(raw_provider), normalise(raw_model)
        allow = self._limits.allow
        if pair[0] in allow.get("provider", ()) and pair[1] in allow.get("model", ()):
            return pair
        key = pairs_of(component)
        table = self._tables.get(key) or self._new_table(key, self._limits.pairs, PAIR)
        return pair if table.admit(pair, now) else (self._refuse("model"), OTHER)

    def keep(self, label: str, value: str, now: float) -> None:
        """A value admitted earlier is still in use."""
        if label in self._tables:
            self._tables[label].keep((value,), now)

    def _refuse(self, label: str) -> str:
        self._overflow(label)
        return OTHER

    def _new_table(self, key: str, room: int, names: tuple[str, ...]) -> LabelTable:
        table = self._tables[key] = LabelTable(room, self._limits.idle, lambda value: self._give_away(key, names, value))
        return table

    def _give_away(self, table: str, names: tuple[str, ...], values: tuple[str, ...]) -> None:
        self._recent.clear()
        self._evict(table, names, values)
