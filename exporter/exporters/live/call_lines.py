"""A call as JSON lines that ``agentstack-exporter replay`` reads: its events as they came, without what is personal."""

from collections.abc import Iterator
from typing import Any

import msgspec

from exporter.catalogue.inspect import inspect_event
from exporter.events import ALL_EVENTS, Wire
from exporter.events.audio_stream import Start
from exporter.events.session import SessionStarted
from exporter.exporters.live.recorded_turn import recorded_turn
from exporter.sessions.call_journal import CallJournal, Entry, WithoutMetrics
from exporter.sessions.kept_events import SPOKEN, is_personal
from exporter.sessions.session import Session, SessionIdentity, identity_of
from exporter.sessions.shown_text import shown

_PERSONAL = {
    event: tuple((field.path, field.name) for field in inspect_event(event).fields if is_personal(field)) for event in ALL_EVENTS
}


def call_lines(journal: CallJournal, *, content: bool) -> Iterator[bytes]:
    """The lines. The first event is always a start; it is made up if the journal has lost its beginning."""
    session: Session | None = journal.session
    who = journal.facts if session is None else identity_of(session)
    name = who.id or journal.id
    entries = list(journal.entries)
    if not any(isinstance(_event(entry)[0], SessionStarted | Start) for entry in entries[:5]):
        started = SessionStarted(agent_session_id=name, call_id=who.call_id, agent_id=who.agent_label)
        yield _line(started, name, who.started_at, who, content=content)
    for entry in entries:
        event, received = _event(entry)
        if event is not None:
            yield _line(event, name, received, who, content=content)


def _event(entry: Entry) -> tuple[Wire | None, float]:
    """The entry's event, if it is one, and when it was received."""
    if isinstance(entry, bytes):
        turn = recorded_turn(entry)
        return turn.event, turn.received
    event = entry.event.event if isinstance(entry.event, WithoutMetrics) else entry.event
    return event if isinstance(event, Wire) else None, entry.received


def _line(event: Wire, name: str, received: float, who: SessionIdentity, *, content: bool) -> bytes:
    plain = _masked(msgspec.to_builtins(event))
    for path, field in _PERSONAL[type(event)]:
        if not (content and field in SPOKEN):
            _remove(plain, path)
    if isinstance(event, SessionStarted):
        plain |= {key: value for key, value in (("agent_session_id", who.id), ("call_id", who.call_id)) if value is not None}
    return msgspec.json.encode({"session": name, "sent_at": round(received, 6), "event": plain}) + b"\n"


def _remove(plain: object, path: tuple[str, ...]) -> None:
    """Remove a field of an event, or of the object in it that has it."""
    if isinstance(plain, dict):
        if len(path) > 1:
            for value in plain.values():
                _remove(value, path[1:])
        else:
            plain.pop(path[0], None)


def _masked(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The value without absent fields, and with its texts as they are shown."""
    if isinstance(value, str):
        return shown(value) or ""
    if isinstance(value, dict):
        return {_masked(key): _masked(item) for key, item in value.items() if item is not None}
    return [_masked(item) for item in value] if isinstance(value, list | tuple) else value
