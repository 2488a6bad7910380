"""Which spans a sent turn calls for, told from the catalogue's declarations one field at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from exporter.catalogue import genai
from exporter.catalogue.declarations import SpanAttribute, SpanTime
from exporter.catalogue.inspect import EventSpec, FieldSpec
from exporter.events.audio_stream import Start
from exporter.events.turn_metrics import TurnMetrics
from exporter.protocol.decoder import SPECS, PartialEvent, decode
from exporter.protocol.ids import TurnKey, further_key, trace_id, turn_key, turn_span_id
from exporter.simulate.truth import Record

BY_TYPE = {spec.type: spec for spec in SPECS}
FAILED = {
    **dict.fromkeys(("eou", "turn_detection"), "turn_detection"),
    **dict.fromkeys(("realtime", "realtime_model", "s2s"), "realtime_inference"),
    "vad": "user_speech",
    "stt": "speech_to_text",
    "llm": "chat",
    "tts": "text_to_speech",
}
DURATIONS = {
    "speech_to_text": ("stt_delay_ms",),
    "turn_detection": ("turn_decision_ms",),
    "chat": ("llm_duration_ms", "llm_ttft_ms"),
    "text_to_speech": ("tts_duration_ms", "tts_ttfb_ms"),
    "realtime_inference": ("realtime_duration_ms", "realtime_ttft_ms"),
}
"""How long a child takes: the first of these fields that says so."""


def understood(event: dict[str, Any]) -> Any:
    """The event as the exporter understands it, without what is refused of it."""
    found: Any = decode(msgspec.json.encode(event))
    return found.event if isinstance(found, PartialEvent) else found


@dataclass
class SentTurn:
    """A turn: what was said of it first, and of its session since the one before."""

    session: str
    key: TurnKey
    event: Any
    last: bool = False
    """Whether it came after the session's end."""
    stood_in: bool = False
    """Whether, moreover, turn.completed had to stand in for it by then."""
    children: set[str] = field(default_factory=set)
    attributes: set[tuple[str, str]] = field(default_factory=set)

    @property
    def span_id(self) -> str:
        agent_tool, number = self.key
        return turn_span_id(trace_id(self.session), further_key((agent_tool, number), "late" if self.stood_in else None, 0))

    def durations(self) -> Iterator[tuple[str, float]]:
        """Children of which it was said how long they take, and how long, in milliseconds."""
        for child in self.children & DURATIONS.keys():
            stated = next((value for value in (getattr(self.event, name) for name in DURATIONS[child]) if value), None)
            if stated is not None:
                yield child, stated


@dataclass
class Sent:
    """What was sent, as far as spans are concerned."""

    sessions: set[str] = field(default_factory=set)
    turns: dict[tuple[str, TurnKey], SentTurn] = field(default_factory=dict)
    completed: dict[tuple[str, TurnKey], Any] = field(default_factory=dict)
    given_up: set[tuple[str, TurnKey]] = field(default_factory=set)
    """Turns for which turn.completed stood in at the session's end."""
    trailing: set[str] = field(default_factory=set)
    """Spans of turns of which something was said after the session's end."""
    duplicates: int = 0
    small: dict[str, set[str]] = field(default_factory=dict)
    """Children of which small events of a session tell something."""

    def without_metrics(self) -> dict[tuple[str, TurnKey], Any]:
        """Completed turns of which nothing else was said, or not before the session's end."""
        return {key: event for key, event in self.completed.items() if key not in self.turns or self.turns[key].stood_in}


def sent(records: Iterable[Record]) -> Sent:
    """Go through what was sent."""
    found = Sent()
    over = set()
    called: dict[str, str] = {}
    for record in records:
        event = understood(record.event)
        if isinstance(event, Start) and event.start is not None and event.start.call_id:
            called.setdefault(record.session, event.start.call_id)
        session = called.setdefault(record.session, record.session)
        found.sessions.add(session)
        if event is None:
            continue
        name = BY_TYPE[type(event)].name
        if name in ("session.ended", "stop"):
            over.add(session)
            found.given_up |= {key for key in found.without_metrics() if key[0] == session}
        elif name in ("turn.metrics", "turn.completed"):
            _turn(found, session, event, late=session in over)
        else:
            found.small.setdefault(session, set()).update(span for span, _ in contributions(BY_TYPE[type(event)], event))
    return found


def _turn(found: Sent, session: str, event: Any, *, late: bool) -> None:
    key = (session, turn_key(event.agent_tool_id, event.turn_number))
    if late:
        found.trailing.add(turn_span_id(trace_id(session), key[1]))
    if not isinstance(event, TurnMetrics):
        found.completed.setdefault(key, event)
    elif key in found.turns:
        found.duplicates += 1
    else:
        contributed = set(contributions(BY_TYPE[TurnMetrics], event))
        children = {span for span, _ in contributed} - {"turn", "session"}
        if event.error_source and (failed := FAILED.get(event.error_source.lower())):
            children.add(failed)
        stood_in = key in found.given_up
        found.turns[key] = SentTurn(session, key[1], event, late, stood_in, children, {(s, a) for s, a in contributed if a})


def contributions(spec: EventSpec, event: Any) -> Iterator[tuple[str, str]]:
    """The spans of which an event says something, each with the attribute that says it, or with nothing for a time."""
    declared = {each.name: each.declarations for each in spec.fields}
    for each in spec.fields:
        value = value_at(event, each)
        if value is None:
            continue
        for item in declared[each.alias_of] if each.alias_of else each.declarations:
            if isinstance(item, SpanTime):
                yield item.span, ""
            elif isinstance(item, SpanAttribute) and not item.personal and (value or not item.zero_is_absent):
                yield item.span, genai.attribute_key(item.name, proposals=False)


def value_at(event: Any, each: FieldSpec) -> Any:
    """The value of a field, ``None`` where it or what it stands in is absent."""
    for step in each.path:
        event = None if event is None else getattr(event, step)
    return event
