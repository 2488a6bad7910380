"""Which values the fields of events take, and why another value is refused: a −1, a negative or a too large number, a wrong type."""

import math
import sys
import typing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from exporter.events import ALL_EVENTS
from exporter.protocol.reasons import RefusalReason
from exporter.protocol.tolerant_json import Unusable

NUMBERS: Final = frozenset({int, float})


@dataclass(frozen=True, slots=True)
class Field:
    """How the lenient reader reads a field.

    A value of type ``plain``, or a number from ``least`` to ``most``, is used as it is, and no other value of such a field. Where a
    field has neither, ``msgspec`` converts the value to ``hint``, the field's type with its plausible range.
    """

    attribute: str
    hint: Any
    plain: type | None
    least: float = math.inf
    most: float = -math.inf


def refusal_reason(hint: Any, value: Any) -> RefusalReason:
    """Why a value is refused that is not of type ``hint``, which may be a number's type with its plausible range."""
    if isinstance(value, Unusable):
        return value.reason
    wanted = getattr(hint, "__origin__", hint)
    if wanted is datetime and isinstance(value, str):
        return RefusalReason.NOT_A_TIME
    return out_of_range(_range(hint)[1], value) if wanted is float and type(value) in NUMBERS else RefusalReason.WRONG_TYPE


def out_of_range(most: float, value: float) -> RefusalReason:
    """Why a number is refused that is not in its range, which ends at ``most``."""
    if value == -1:
        return RefusalReason.SENTINEL
    if value < 0:
        return RefusalReason.NEGATIVE
    return RefusalReason.TOO_LARGE if value > most else RefusalReason.TOO_SMALL


def _range(hint: Any) -> tuple[float, float]:
    """The plausible range of a number's type; that of all finite numbers if it has none."""
    if hint is float:
        return -sys.float_info.max, sys.float_info.max
    (meta,) = [item for item in hint.__metadata__ if isinstance(item, msgspec.Meta)]
    return float(meta.ge or 0.0), float(meta.le or 0.0)


def _plain_type(hint: Any) -> Any:
    """The type of a field without ``| None`` and without declarations, but with its plausible range."""
    while True:
        metadata = getattr(hint, "__metadata__", ())
        if any(isinstance(item, msgspec.Meta) for item in metadata) and not _is_optional(hint.__origin__):
            return hint
        if metadata:
            hint = hint.__origin__
        elif _is_optional(hint):
            (hint,) = [part for part in hint.__args__ if part is not type(None)]
        else:
            return hint


def entry_type(hint: Any) -> type[msgspec.Struct] | None:
    """The struct that the entries of a list have; ``None`` for any other type."""
    entry = hint.__args__[0] if getattr(hint, "__origin__", None) is list else None
    return entry if _is_struct(entry) else None


def _is_optional(hint: Any) -> bool:
    return type(None) in getattr(hint, "__args__", ())


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _field(attribute: str, hint: Any) -> Field:
    if getattr(hint, "__origin__", None) is float:
        return Field(attribute, hint, None, *_range(hint))
    return Field(attribute, hint, hint if hint in (str, bool) else None)


def _struct_fields(struct: type[msgspec.Struct]) -> dict[str, Field]:
    hints = typing.get_type_hints(struct, include_extras=True)
    names = zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True)
    return {wire_name: _field(attribute, _plain_type(hints[attribute])) for wire_name, attribute in names}


def _collect(structs: tuple[type[msgspec.Struct], ...]) -> dict[Any, dict[str, Field]]:
    """The fields, by wire name, of these structs and of all structs within them."""
    found: dict[Any, dict[str, Field]] = {}
    for struct in structs:
        found[struct] = _struct_fields(struct)
        within = [entry_type(field.hint) or field.hint for field in found[struct].values()]
        found.update(_collect(tuple(hint for hint in within if _is_struct(hint) and hint not in found)))
    return found


FIELDS = _collect(ALL_EVENTS)
