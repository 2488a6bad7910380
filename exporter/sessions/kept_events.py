"""Which events a journal keeps, and in what form: without what is personal, and without long lists.

Frequent events are not kept: what they say is in the session's state. A ``turn.metrics`` is kept as the frame it came in, which costs
much less than its hundred fields would; what was said is cut out of it. Other events are stripped where they stand, after everything
else has been done with them: nobody else holds them any more.
"""

import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, AnyStr, Final, Generic

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
from exporter.sessions.journal import CallJournal

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
        return _keep_whole_turn if content else _keep_turn
    return _stripper(spec)


def is_personal(field: FieldSpec) -> bool:
    """Whether the field is declared as personal."""
    return any(isinstance(item, SpanAttribute | SpanEvent) and item.personal for item in field.declarations)


_USER: Final = '"user_text":"'
_BETWEEN: Final = '","agent_text":"'
_BEHIND: Final = '",'


@dataclass(frozen=True, slots=True)
class _Syntax(Generic[AnyStr]):
    """What is looked for in frames of one type."""

    user: AnyStr
    agent: AnyStr
    quote: AnyStr
    backslash: AnyStr
    colon: AnyStr
    null: AnyStr


_TEXT: Final = _Syntax('"user_text"', '"agent_text"', '"', "\\", ":", "null")
_BYTES: Final = _Syntax(b'"user_text"', b'"agent_text"', b'"', b"\\", b":", b"null")


def _keep_whole_turn(journal: CallJournal, _: TurnMetrics, frame: str | bytes, now: float) -> None:
    journal.keep_turn(frame, now)


def _keep_turn(journal: CallJournal, event: TurnMetrics, frame: str | bytes, now: float) -> None:
    """Keep a turn. What was said is cut out of its frame.

    Only fields that are not personal are ever shown. So nothing is shown that a peculiar frame hides from this search, such as a key
    that comes twice.
    """
    user, agent = event.user_text, event.agent_text
    if user is not None and agent is not None and isinstance(frame, str):
        # The usual frame: both texts stand in it as they are, one behind the other. Otherwise their lengths lead elsewhere.
        start = frame.find(_USER)
        end = start + len(_USER) + len(user)
        if start > 0 and frame.startswith(_BETWEEN, end):
            end += len(_BETWEEN) + len(agent)
            if frame.startswith(_BEHIND, end):
                journal.keep_turn(frame[:start] + frame[end + len(_BEHIND) :], now)
                return
    if user or agent:
        frame = _cut(event, frame, _BYTES) if isinstance(frame, bytes) else _cut(event, frame, _TEXT)
    journal.keep_turn(frame, now)


def _cut(event: TurnMetrics, frame: AnyStr, syntax: _Syntax[AnyStr]) -> AnyStr:
    """The frame with ``null`` for what was said."""
    user = _place(frame, syntax.user, syntax) if event.user_text else None
    agent = _place(frame, syntax.agent, syntax) if event.agent_text else None
    for start, end in sorted((place for place in (user, agent) if place is not None), reverse=True):
        frame = frame[:start] + syntax.null + frame[end:]
    return frame


def _place(frame: AnyStr, key: AnyStr, syntax: _Syntax[AnyStr]) -> tuple[int, int] | None:
    """Where the text of ``key`` stands in a frame, with its quotes; ``None`` if the key is not there."""
    found = frame.find(key)
    start = frame.find(syntax.quote, found + len(key))
    if found < 0 or frame[found + len(key) : start].strip() != syntax.colon:
        return None
    end = frame.find(syntax.quote, start + 1)
    while end > 0 and frame[end - 1 : end] == syntax.backslash and _is_escaped(frame, end, syntax):
        end = frame.find(syntax.quote, end + 1)
    return (start, end + 1) if end > start else None


def _is_escaped(frame: AnyStr, at: int, syntax: _Syntax[AnyStr]) -> bool:
    """Whether an odd number of backslashes stands before ``at``."""
    before = at
    while frame[before - 1 : before] == syntax.backslash:
        before -= 1
    return (at - before) % 2 == 1


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
        listed = sum(_strip_list(event, name, hidden) for name, hidden in containers)
        journal.keep(event, weight + _size(frame) + listed, now)

    return keep


def _size(frame: str | bytes) -> int:
    """The bytes that the texts of an event can take: up to four a character, if the frame has others than ASCII."""
    escapes = "\\u" in frame if isinstance(frame, str) else b"\\u" in frame
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
