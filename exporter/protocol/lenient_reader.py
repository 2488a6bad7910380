"""Reads an event field by field, where it cannot be read at once: a bad or unknown field costs that field and nothing else."""

import contextlib
from typing import Any

import msgspec

from exporter.protocol.plausible_values import FIELDS, NUMBERS, Field, entry_type, out_of_range, refusal_reason
from exporter.protocol.reasons import RefusalReason, RefusedValue
from exporter.protocol.tolerant_json import Unusable, clean


class LenientReader:
    """Builds an event from the valid fields of a document; collects refused values and unknown fields.

    A document that is not ``is_sound`` may have :class:`Unusable` values anywhere. ``flawed`` are the event's own fields that are
    unknown, or that have something unknown or refused in their value; a field may be there more than once.
    """

    def __init__(self, *, is_sound: bool) -> None:
        self._is_sound = is_sound
        self.refused_values: list[RefusedValue] = []
        self.unknown: list[str] = []
        self.flawed: list[str] = []
        self._current = ""

    def read(self, struct: type[Any], document: dict[str, Any], *, nested: bool = False) -> Any:
        """Build ``struct``; the document loses its unknown fields."""
        fields = FIELDS[struct]
        for key in [key for key in document if key not in fields]:
            self.unknown.append(key)
            self.flawed.append(self._current if nested else key)
            del document[key]
        if self._is_sound:
            with contextlib.suppress(msgspec.ValidationError):
                return msgspec.convert(document, struct)
        return self._read_each(struct, document, "" if nested else None)

    def _read_each(self, struct: type[Any], document: dict[str, Any], prefix: str | None) -> Any:
        """Build ``struct`` value by value; ``prefix`` stands before the names of nested fields, and is ``None`` for the event's own."""
        values = {}
        fields = FIELDS[struct]
        for key, value in document.items():
            if value is not None:
                field = fields[key]
                if prefix is None:
                    self._current = name = key
                else:
                    name = prefix + field.attribute
                values[field.attribute] = self.value(name, field, value)
        return struct(**values)

    def value(self, name: str, field: Field, value: Any) -> Any:
        """The value of a field, or ``None`` if it is refused, which is noted under ``name``."""
        found = type(value)
        if found is field.plain:
            return value
        if found in NUMBERS and field.least <= field.most:
            if field.least <= value <= field.most:
                return float(value)
            self._refuse(name, out_of_range(field.most, value))
            return None
        if field.plain is None:
            return self._convert(name, field.hint, value)
        self._refuse(name, refusal_reason(field.hint, value))
        return None

    def _convert(self, name: str, hint: Any, value: Any) -> Any:
        if hint in FIELDS and isinstance(value, dict):
            return self.read(hint, value, nested=True)
        entry = entry_type(hint)
        if entry is not None and isinstance(value, list):
            return [found for found in (self._entry(name, entry, item) for item in value) if found is not None]
        if getattr(hint, "__origin__", None) is dict and isinstance(value, dict):
            return self._items(name, hint.__args__[1], value)
        if hint is Any:
            return self._anything(name, value)
        try:
            return msgspec.convert(value, hint)
        except msgspec.ValidationError:
            self._refuse(name, refusal_reason(hint, value))
            return None

    def _items(self, name: str, hint: Any, value: dict[str, Any]) -> dict[str, Any] | None:
        """The valid items of a dictionary of values of type ``hint``. Invalid ones are refused together, under the field's name."""
        found, reason = {}, None
        for key, item in value.items():
            try:
                found[key] = msgspec.convert(item, hint)
            except msgspec.ValidationError:
                reason = refusal_reason(hint, item)
        if reason is None:
            return found
        self._refuse(name, reason)
        return found or None

    def _anything(self, name: str, value: Any) -> Any:
        """A value of any type. A part of it that cannot be used is refused under the field's name."""
        cleaned, reason = clean(value)
        if reason is not None:
            self._refuse(name, reason)
        return cleaned

    def _refuse(self, name: str, reason: RefusalReason) -> None:
        self.refused_values.append(RefusedValue(name, reason))
        self.flawed.append(self._current)

    def _entry(self, name: str, struct: type[Any], item: Any) -> Any:
        """An entry of a list: a bad value costs no other entry. Unknown fields are counted under the list's name and their own."""
        if not isinstance(item, dict):
            self._refuse(name, item.reason if isinstance(item, Unusable) else RefusalReason.WRONG_TYPE)
            return None
        fields = FIELDS[struct]
        unknown = [f"{name}.{key}" for key in item if key not in fields]
        self.unknown += unknown
        self.flawed += [self._current] * len(unknown)
        return self._read_each(struct, {key: item[key] for key in fields if key in item}, f"{name}.")
