"""The fields of turn.metrics: in which group each is, what it feeds, and its value as it is shown."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

from exporter.catalogue.inspect import FieldSpec, inspect_event
from exporter.catalogue.quantities import Quantity
from exporter.events.turn_metrics import (
    ChatMessage,
    Interruption,
    Llm,
    Realtime,
    Stt,
    Tts,
    TurnContext,
    TurnDetection,
    TurnMetrics,
    Vad,
    WallClock,
)
from exporter.exporters.live.messages import FieldGroup, FieldInfo, FieldList
from exporter.sessions.kept_events import is_personal
from exporter.sessions.shown_text import shown
from exporter.tracing.attributes import WHOLE, time_text

_GROUPS: Final = {
    TurnContext: "Turn",
    ChatMessage: "User-perceived latency",
    TurnDetection: "Turn detection",
    Vad: "Voice activity",
    Llm: "LLM",
    Tts: "TTS",
    Stt: "STT",
    Interruption: "Interruption",
    Realtime: "Realtime",
    WallClock: "Clock times",
    TurnMetrics: "Other",
}
"""The classes of turn.metrics, in the order of their inheritance → the name of the group."""
_UNITS: Final = {"milliseconds": "ms", "seconds": "s", "RFC 3339 date-time": "time", "unix seconds": "unix s"}
_SHOWN: Final = tuple(field for field in inspect_event(TurnMetrics).fields if not is_personal(field))


@cache
def field_list() -> FieldList:
    """All fields that are shown, in groups. Made once, because a call's file has them with each turn."""
    groups: dict[str, list[FieldInfo]] = {name: [] for name in _GROUPS.values()}
    for field in _SHOWN:
        groups[_group(field)].append(_info(field))
    return FieldList(groups=[FieldGroup(name=name, fields=fields) for name, fields in groups.items() if fields])


def values(event: TurnMetrics) -> Mapping[str, Any]:
    """The fields that the event has, with their values as on the wire. Personal ones are left out."""
    return {field.name: _value(field, value) for field in _SHOWN if (value := getattr(event, field.path[0])) is not None}


def _value(field: FieldSpec, value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, float):
        whole = field.quantity is not None and field.quantity.wire_unit in WHOLE
        return int(value) if whole else value
    if isinstance(value, str):
        return shown(value) or ""
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, dict):
        return {shown(str(key)) or "": entry for key, entry in value.items()}
    return value


def _group(field: FieldSpec) -> str:
    return next(name for kind, name in _GROUPS.items() if field.path[0] in kind.__struct_fields__)


def _info(field: FieldSpec) -> FieldInfo:
    spec = field.feeds[0].spec if field.feeds else None
    return FieldInfo(name=field.name, unit=_unit(field.quantity), metric=spec.name if spec else None, help=spec.help if spec else None)


def _unit(quantity: Quantity | None) -> str | None:
    return None if quantity is None else _UNITS.get(quantity.wire_unit, quantity.wire_unit)
