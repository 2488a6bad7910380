"""Event types → their declarations: an :class:`EventSpec` for each event, with a :class:`FieldSpec` for each field."""

import functools
import inspect
import types
import typing
from dataclasses import dataclass, field, replace
from typing import Any, Union

import msgspec

from exporter.catalogue.declarations import (
    AliasOf,
    BecomesLabel,
    Declaration,
    DeclarationError,
    DrivesLogic,
    Feeds,
    GenAiMetric,
    Ignored,
    SpanAttribute,
    SpanEvent,
    SpanTime,
)
from exporter.catalogue.genai_metrics import DEFAULT, Generation, genai_feeds
from exporter.catalogue.quantities import Quantity

_DECLARATIONS = (Feeds, GenAiMetric, BecomesLabel, SpanAttribute, SpanTime, SpanEvent, DrivesLogic, AliasOf, Ignored)


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of one event.

    ``name`` is the field's name in the protocol's list: the name on the wire, without the names of the objects around it. ``path`` has
    the attributes that lead from the event to the field. ``type`` is its Python type without metadata and ``| None``.
    ``aliases`` are the fields that are earlier names of this one.
    """

    event: str
    name: str
    path: tuple[str, ...]
    type: Any
    quantity: Quantity | None
    declarations: tuple[Declaration, ...]
    aliases: tuple["FieldSpec", ...] = ()

    @property
    def feeds(self) -> tuple[Feeds, ...]:
        """The metrics that the field feeds directly, those of the GenAI conventions by their default names."""
        return self.feeds_in(DEFAULT)

    def feeds_in(self, generation: Generation | None) -> tuple[Feeds, ...]:
        """The metrics that the field feeds directly, those of the GenAI conventions by the names of ``generation``, if any."""
        own = tuple(item for item in self.declarations if isinstance(item, Feeds))
        if generation is None:
            return own
        declared = (item for item in self.declarations if isinstance(item, GenAiMetric))
        return own + tuple(feeds for item in declared for feeds in genai_feeds(item, generation))

    @property
    def alias_of(self) -> str | None:
        """The field that this one is an earlier name of."""
        return next((item.field for item in self.declarations if isinstance(item, AliasOf)), None)

    @property
    def expression(self) -> str:
        """Source text that reads the field of an event ``e``; the value is ``None`` if a part on the way is absent."""
        steps = ["e." + ".".join(self.path[: end + 1]) for end in range(len(self.path))]
        return steps[0] if len(steps) == 1 else "(" + " and ".join(steps) + ")"

    @property
    def divisor(self) -> float:
        """What the wire value is divided by to be in the base unit."""
        return self.quantity.divisor if self.quantity else 1.0


@dataclass(frozen=True, slots=True)
class EventSpec:
    """One event: its current and earlier names, its type, the ``metrics`` that it feeds as a whole, and its fields."""

    name: str
    type: type[msgspec.Struct]
    earlier_names: tuple[str, ...]
    metrics: tuple[Feeds, ...]
    fields: tuple[FieldSpec, ...] = field(default=())

    def field(self, name: str) -> FieldSpec:
        """The field called ``name``; raises ``KeyError`` if the event has none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(name)


def inspect_event(event: type[msgspec.Struct]) -> EventSpec:
    """Read an event type's declarations; they are read once.

    Raises :class:`DeclarationError` for a field without a declaration.
    """
    return _inspected(event)


@functools.cache
def _inspected(event: type[msgspec.Struct]) -> EventSpec:
    config: Any = event
    name = str(event.__struct_config__.tag)
    return EventSpec(
        name=name,
        type=event,
        earlier_names=config.earlier_names,
        metrics=config.metrics,
        fields=_with_aliases(tuple(_fields(event, name, ()))),
    )


def inspect_entry(entry: type[msgspec.Struct], event: type[msgspec.Struct]) -> tuple[FieldSpec, ...]:
    """Read the declarations of the entries of a list in ``event``; raises as :func:`inspect_event`."""
    return _with_aliases(tuple(_fields(entry, str(event.__struct_config__.tag), ())))


def _with_aliases(fields: tuple[FieldSpec, ...]) -> tuple[FieldSpec, ...]:
    earlier = [spec for spec in fields if spec.alias_of]
    return tuple(replace(spec, aliases=tuple(alias for alias in earlier if alias.alias_of == spec.name)) for spec in fields)


def _fields(struct: type[msgspec.Struct], event: str, path: tuple[str, ...]) -> "typing.Iterator[FieldSpec]":
    hints = typing.get_type_hints(struct, include_extras=True)
    for attribute, wire_name in zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True):
        core, metadata = _unwrap(hints[attribute])
        declarations = tuple(item for item in metadata if isinstance(item, _DECLARATIONS))
        if _is_nested(core, declarations):
            yield from _fields(core, event, (*path, attribute))
            continue
        if attribute.startswith("outer_"):
            continue
        name = attribute if path else wire_name
        if not declarations:
            raise DeclarationError(f"{event}.{name}: declare what it becomes, or Ignored(reason)")
        quantity = next((item for item in metadata if isinstance(item, Quantity)), None)
        yield FieldSpec(event, name, (*path, attribute), core, quantity, declarations)


def _is_nested(core: Any, declarations: tuple[Declaration, ...]) -> bool:
    return not declarations and inspect.isclass(core) and issubclass(core, msgspec.Struct)


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without ``Annotated`` and ``| None``, however they are nested, and the metadata."""
    metadata: tuple[Any, ...] = ()
    while True:
        if typing.get_origin(hint) is typing.Annotated:
            metadata += hint.__metadata__
            hint = hint.__origin__
        elif typing.get_origin(hint) in (Union, types.UnionType):
            (hint,) = [part for part in typing.get_args(hint) if part is not types.NoneType]
        else:
            return hint, metadata
