"""Which events a journal keeps, and in what form: without what is personal, and without long lists.

Frequent events are not kept: what they say is in the session's state. The others are stripped where they stand, after everything else
has been done with them: nobody else holds them any more. A ``turn.metrics`` is then packed.
"""

import typing
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec
from msgspec.structs import force_setattr

from exporter.catalogue.declarations import DeclarationError, SpanAttribute, SpanEvent
from exporter.catalogue.inspect import EventSpec, FieldSpec, inspect_entry
from exporter.events.audio_stream import ClearedAudio, Media, PlayedStream
from exporter.events.speech import (
    AgentSpeechCompleted,
    AgentSpeechCreated,
    AgentSpeechStarted,
    AgentStateChanged,
    UserSpeechStarted,
    UserSpeechStopped,
    UserStateChanged,
)
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted, UserTranscription, UserTurnCompleted
from exporter.sessions.call_journal import CallJournal
from exporter.sessions.kept_turn import turn_packer

LEFT_OUT: Final = frozenset(
    {
        AgentSpeechCompleted,
        AgentSpeechCreated,
        AgentSpeechStarted,
        AgentStateChanged,
        ClearedAudio,
        Media,
        PlayedStream,
        TurnCompleted,
        UserSpeechStarted,
        UserSpeechStopped,
        UserStateChanged,
        UserTranscription,
        UserTurnCompleted,
    }
)
"""Events that are not kept: every turn has many of them."""
LONGEST_LIST: Final = 64
"""Entries of a list or an object that is kept."""
_HEAD: Final = 120
"""Bytes of an entry of the journal, without the event."""
_A_FIELD: Final = 8
_AN_ENTRY: Final = 150
SPOKEN: Final = frozenset({"user_text", "agent_text"})
"""What was said in a turn: kept and shown with --live-content only."""


Keep = Callable[[CallJournal, Any, Any, float], None]
"""Keeps an event in a journal, given its frame and when it was received, in unix seconds."""


def keeper(spec: EventSpec, *, content: bool) -> Keep | None:
    """How events of this type are kept, ``None`` for not at all. With ``content``, what was said in a turn is kept too."""
    if spec.type in LEFT_OUT:
        return None
    if spec.type is TurnMetrics:
        return _TurnKeeper(() if content else [field.path[0] for field in spec.fields if is_personal(field)]).keep
    return _stripper(spec)


def is_personal(field: FieldSpec) -> bool:
    """Whether the field is declared as personal."""
    return any(isinstance(item, SpanAttribute | SpanEvent) and item.personal for item in field.declarations)


class _TurnKeeper:
    """Keeps turns without their ``personal`` fields."""

    __slots__ = ("_pack",)

    def __init__(self, personal: Collection[str]) -> None:
        self._pack = turn_packer(personal)

    def keep(self, journal: CallJournal, event: TurnMetrics, _: object, now: float) -> None:
        """Keep a turn, and what spans say of it."""
        written, journal.written = journal.written, None
        journal.keep_turn(self._pack(event, now, written))


def _stripper(spec: EventSpec) -> Keep:
    """Compile the function that strips an event of this type."""
    personal = [field for field in spec.fields if is_personal(field)]
    lists = [field for field in spec.fields if typing.get_origin(field.type) in (list, dict)]
    top = tuple(field.path[0] for field in personal if len(field.path) == 1)
    nested = tuple((field.path[0], field.path[1]) for field in personal if len(field.path) > 1)
    containers = tuple((field.path[0], _personal_entries(field, spec.type)) for field in lists if len(field.path) == 1)
    weight = _HEAD + _A_FIELD * len(spec.fields)

    def keep(journal: CallJournal, event: msgspec.Struct, frame: str | bytes, now: float) -> None:
        for name in top:
            if getattr(event, name) is not None:
                force_setattr(event, name, None)
        for outer, name in nested:
            if getattr(event, outer) is not None:
                force_setattr(getattr(event, outer), name, None)
        held = weight + _size(frame)
        for name, hidden in containers:
            held += _strip_list(event, name, hidden)
        journal.keep(event, held, now)

    return keep


def _size(frame: str | bytes) -> int:
    """The bytes that the texts of an event can take: up to four a character, if the frame has or may have others than ASCII."""
    escapes = "\\" in frame if isinstance(frame, str) else b"\\" in frame  # to look for two characters takes ten times as long
    return len(frame) if frame.isascii() and not escapes else 4 * len(frame)


def _strip_list(event: msgspec.Struct, name: str, hidden: Collection[str]) -> int:
    """Strip the entries of a list, or take out the list if it is long. Returns the bytes that it holds."""
    found = getattr(event, name)
    if found is None:
        return 0
    if len(found) > LONGEST_LIST:
        force_setattr(event, name, None)
        return 0
    for entry in found if hidden else ():
        for field in hidden:
            force_setattr(entry, field, None)
    return _AN_ENTRY * len(found)


def _personal_entries(field: FieldSpec, event: type[msgspec.Struct]) -> tuple[str, ...]:
    """The personal fields of a list's entries."""
    entry = typing.get_args(field.type)[0]
    if not (isinstance(entry, type) and issubclass(entry, msgspec.Struct)):
        return ()
    try:
        return tuple(each.path[0] for each in inspect_entry(entry, event) if is_personal(each))
    except DeclarationError:
        return ()  # entries without declarations become no span attributes, so nothing in them is personal
