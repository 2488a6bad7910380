"""The decoder of a pipeline. It learns what the platform sends differently, so that such frames cost little more than others.

A field that the exporter does not know, or a −1, makes the strict decoder fail, and then every frame of that type is read twice. What
failed a few times is learned: the type gets a *loose* struct, which takes the unknown fields, and any value in the fields that had bad
ones. One reading is then enough. The loose values are judged afterwards by the rules of the lenient reader, which also reads what the
loose struct cannot. So the result is always that of :func:`exporter.protocol.decoder.decode`.
"""

import re
import typing
from collections.abc import Iterable
from typing import Any, Final, Union

import msgspec

from exporter.bounded_dict import BoundedDict
from exporter.events import EVENTS, STREAM_EVENTS, Wire
from exporter.events.turn_metrics import TurnMetrics
from exporter.protocol.decoder import BY_NAME, NOT_READ, STREAM_START, STRICT, STRICT_STREAM, TAG_FIELDS, PartialEvent, decode_leniently
from exporter.protocol.lenient_reader import LenientReader
from exporter.protocol.plain_turns import plain_turns
from exporter.protocol.plausible_values import FIELDS, Field, out_of_range
from exporter.protocol.reasons import RefusalReason, RefusedValue

SEEN: Final = 3
"""How often a field has to fail before it is learned."""
MOST: Final = 256
"""Fields that are learned at most. Each costs a millisecond once, and memory as long as the process lives."""
_MOST_CANDIDATES: Final = 1024

_EventName = tuple[str, str]
"""The field that names an event, ``type`` or ``event``, and the name in it: today's or an earlier one."""
_ITSELF: Final = "\n"
"""Stands for an event without flaws that has an earlier name, which the strict decoder does not know. No learned field is called so."""
_unfit: Final = re.compile(r'["\\\x00-\x1f]')
"""What msgspec takes in no field's name."""


class LearningDecoder:
    """Reads frames as :func:`exporter.protocol.decoder.decode` does, and learns from those that fail.

    ``learned`` has the fields that were learned for each event.
    """

    def __init__(self) -> None:
        self.learned: dict[_EventName, set[str]] = {}
        self._candidates: BoundedDict[tuple[_EventName, str], int] = BoundedDict(_MOST_CANDIDATES)
        self._loose: dict[_EventName, _LooseEvent] = {}
        self._by_struct: dict[type[Any], _LooseEvent] = {}
        self._decode = STRICT.decode
        self._decode_stream = STRICT_STREAM.decode
        self._plain_turns = plain_turns()

    def decode(self, frame: str | bytes) -> Wire | PartialEvent:
        """Read a frame. Raises :class:`exporter.protocol.reasons.FrameRejected` if it is not an event."""
        if self._plain_turns is not None and (turn := self._plain_turns.read(frame)) is not None:
            return turn
        try:
            found: Any = self._decode_stream(frame) if frame[:8] in STREAM_START else self._decode(frame)
        except NOT_READ:
            return decode_leniently(frame, self._note)
        if self._by_struct and (loose := self._by_struct.get(type(found))) is not None:
            return loose.judge(found)
        event: Wire = found
        return event

    def _note(self, tag_field: str, name: str, flawed: list[str]) -> None:
        """Count the fields that made a frame fail, and learn those that did so often enough."""
        event_name = (tag_field, name)
        keys = {key for key in flawed if key not in TAG_FIELDS and not _unfit.search(key)} if flawed else {_ITSELF}
        due = [key for key in keys.difference(self.learned.get(event_name, ())) if self._fails_again(event_name, key)]
        if due and sum(map(len, self.learned.values())) + len(due) <= MOST:
            self._learn(event_name, due)

    def _fails_again(self, event_name: _EventName, key: str) -> bool:
        """Whether the field failed just often enough. It fails on if something else keeps the frames from being read at once."""
        candidate = (event_name, key)
        times = self._candidates[candidate] = self._candidates.get(candidate, 0) + 1
        return times == SEEN

    def _learn(self, event_name: _EventName, keys: Iterable[str]) -> None:
        learned = self.learned.get(event_name, set()).union(keys)
        self.learned[event_name] = learned
        self._loose[event_name] = _LooseEvent(event_name, sorted(learned - {_ITSELF}))
        self._by_struct = {loose.struct: loose for loose in self._loose.values()}
        if BY_NAME[event_name] is TurnMetrics:
            self._plain_turns = plain_turns(self._learned_of(TurnMetrics))
        self._decode = self._decoder("type", EVENTS).decode
        self._decode_stream = self._decoder("event", STREAM_EVENTS).decode

    def _learned_of(self, event: type[Wire]) -> set[str]:
        """What was learned of an event, whichever of its names it came under."""
        return {key for name, keys in self.learned.items() if BY_NAME[name] is event for key in keys if key != _ITSELF}

    def _decoder(self, tag_field: str, events: tuple[type[Wire], ...]) -> msgspec.json.Decoder[Any]:
        by_name = {(tag_field, str(event.__struct_config__.tag)): event for event in events}
        structs: dict[_EventName, type[Any]] = {**by_name}
        structs.update({name: loose.struct for name, loose in self._loose.items() if name[0] == tag_field})
        return msgspec.json.Decoder(Union[tuple(structs.values())])  # noqa: UP007 - as in decoder.py


class _LooseEvent:
    """An event type with fields that were learned, and how its ``struct`` becomes the event.

    The struct has the event's fields in their order, then the unknown ones. Fields are known by their place in it. Numbers, texts and
    flags are judged here, by the rules of :meth:`LenientReader.value`; the others by that method.
    """

    __slots__ = ("_event", "_judges", "_name", "_numbers", "_others", "_plain", "_size", "_unknown", "struct")

    def __init__(self, event_name: _EventName, learned: list[str]) -> None:
        tag_field, self._name = event_name
        self._event = BY_NAME[event_name]
        fields = FIELDS[self._event]
        self._size = len(fields)
        unknown = tuple(key for key in learned if key not in fields)
        self._unknown = tuple(enumerate(unknown, self._size))
        judged = [(place, key, field) for place, (key, field) in enumerate(fields.items()) if key in learned]
        self._numbers = tuple((place, key, field.least, field.most) for place, key, field in judged if field.least <= field.most)
        self._plain = tuple((place, key, field.plain) for place, key, field in judged if field.plain is not None)
        self._others = tuple(entry for entry in judged if entry[2].plain is None and entry[2].least > entry[2].most)
        self._judges = bool(judged)
        self.struct = _loose_struct(self._event, tag_field, self._name, frozenset(learned), unknown)

    def judge(self, found: msgspec.Struct) -> Wire | PartialEvent:
        """The event, with what is unknown and what is refused if there is any."""
        found_values = msgspec.structs.astuple(found)
        unknown = [key for place, key in self._unknown if found_values[place] is not msgspec.UNSET]
        if not self._judges:
            event = self._event(*found_values[: self._size])
            return PartialEvent(self._name, event, (), tuple(unknown)) if unknown else event
        values = list(found_values)
        del values[self._size :]
        refused: list[RefusedValue] = []
        for place, key, least, most in self._numbers:
            value = values[place]
            is_number = type(value) is float or type(value) is int
            if is_number and least <= value <= most:
                values[place] = float(value)
            elif value is not None:
                values[place] = None
                refused.append(RefusedValue(key, out_of_range(most, value) if is_number else RefusalReason.WRONG_TYPE))
        for place, key, plain in self._plain:
            value = values[place]
            if value is not None and type(value) is not plain:
                values[place] = None
                refused.append(RefusedValue(key, RefusalReason.WRONG_TYPE))
        for place, key, field in self._others:
            if values[place] is not None:
                reader = LenientReader(is_sound=True)
                values[place] = reader.value(key, field, values[place])
                refused += reader.refused_values
                unknown += reader.unknown
        event = self._event(*values)
        return PartialEvent(self._name, event, tuple(refused), tuple(unknown)) if refused or unknown else event


def _loose_struct(
    event: type[Wire], tag_field: str, tag: str, learned: frozenset[str], unknown: tuple[str, ...]
) -> type[msgspec.Struct]:
    """A struct like ``event`` in which the ``learned`` fields take any value; ``unknown`` are those that the event does not have."""
    hints = typing.get_type_hints(event, include_extras=True)
    fields: dict[str, Field] = FIELDS[event]
    rename = {field.attribute: key for key, field in fields.items()} | {f"unknown_{place}": key for place, key in enumerate(unknown)}
    return msgspec.defstruct(
        f"Loose{event.__name__}",
        [
            *((field.attribute, Any if key in learned else hints[field.attribute], None) for key, field in fields.items()),
            *((f"unknown_{place}", Any, msgspec.UNSET) for place in range(len(unknown))),
        ],
        tag_field=tag_field,
        tag=tag,
        rename=rename,
        frozen=True,
        gc=False,
        forbid_unknown_fields=True,
    )
