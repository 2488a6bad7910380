"""Events as hypothesis draws them: every type, each field missing, null, plausible, on a bucket's bound, absurd or of a wrong type."""

import base64
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from exporter.catalogue.declarations import Feeds
from exporter.catalogue.inspect import EventSpec, FieldSpec
from exporter.metrics import inventory

_WRONG: tuple[Any, ...] = ("", "12", True, False, [], [1], {}, {"a": 1}, 0, 1.5)
_EDGES = (0, 0.0, -0.0, 1, 0.5, -1, -1.0, -2, -0.001, 1e-300, 120_000, 120_000.001, 14_400_001, 1e18, 1e300, -1e300, 2**63 - 1)
_TEXTS = (
    "",
    "stt-llm-tts",
    "s2s",
    "openai",
    "gpt-4o",
    "no_response",
    "human",
    "audio",
    "speaking",
    "+1 415 555 0100",
    "a\x00\n",
    "é" * 90,
)
_TIMES = ("2026-05-04T09:00:00.120Z", "2026-05-04T09:00:00+05:30", "2026-05-04T09:00:00", "yesterday", "")
_CONTAINERS: dict[str, tuple[Any, ...]] = {
    "probabilities": ([], [0.1, 1], [0.5]),
    "llm_availability": ({}, {"a": True, "b": False}),
    "models": ([], [{"type": "llm_usage", "input_tokens": 5}]),
    "calls": ([], [{"name": "a", "is_error": True}, {"name": None}]),
}


def _edges(spec: FieldSpec) -> list[float]:
    """The values that fall exactly on a bucket's bound, and those next to them."""
    bounds = [round(bound * spec.divisor, 9) for feeds in spec.feeds for bound in feeds.spec.bounds]
    whole = [int(bound) for bound in bounds if bound == int(bound)]
    return [*bounds, *whole, *(bound * 1.0000001 for bound in bounds), *(bound * 0.9999999 for bound in bounds)]


def _base64(feeds: tuple[Feeds, ...]) -> bool:
    return any(item.amount == "base64_bytes" for item in feeds)


def _right(spec: FieldSpec) -> st.SearchStrategy[Any]:
    if spec.type is float:
        plausible = st.integers(0, 5000) | st.floats(0, 200_000) | st.floats(allow_nan=False, allow_infinity=False)
        return st.sampled_from([*_EDGES, 1.7e9, *_edges(spec)]) | plausible
    if spec.type is str:
        return st.binary(max_size=9).map(base64.b64encode).map(bytes.decode) if _base64(spec.feeds) else _texts
    if spec.type is bool:
        return st.booleans()
    if spec.type is datetime:
        return st.sampled_from(_TIMES)
    return st.sampled_from(_CONTAINERS.get(spec.name, _WRONG))


_texts = st.sampled_from(_TEXTS) | st.text(st.characters(codec="utf-8"), max_size=5)


def _values(spec: FieldSpec) -> st.SearchStrategy[Any]:
    wrong = tuple(value for value in _WRONG if not (isinstance(value, str) and _base64(spec.feeds)))
    if spec.name in _CONTAINERS:
        wrong = ("", 5, True)
    return st.none() | _right(spec) | _right(spec) | st.sampled_from(wrong)


def _document(event: EventSpec) -> st.SearchStrategy[dict[str, Any]]:
    top = {spec.name: _values(spec) for spec in event.fields if len(spec.path) == 1}
    tag = str(event.type.__struct_config__.tag_field)
    nested = _nested(event) if any(len(spec.path) > 1 for spec in event.fields) else {}
    return st.fixed_dictionaries({tag: st.just(event.name)}, optional=top | nested)


def _nested(event: EventSpec) -> dict[str, st.SearchStrategy[Any]]:
    """The nested parts of a message of audio streaming, in their form on the wire."""
    fields = {spec.name: _values(spec) for spec in event.fields if len(spec.path) == 2}
    inner = {_camel(name): values for name, values in fields.items()}
    formats = {"type": "content_type", "rate": "sample_rate"}
    deeper = {key: _values(event.field(name)) for key, name in formats.items() if event.name == "start"}
    if deeper:
        inner["mediaFormat"] = st.none() | st.fixed_dictionaries({}, optional=deeper)
    return {event.fields[0].path[0]: st.none() | st.fixed_dictionaries({}, optional=inner)}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


documents = {event.name: _document(event) for event in inventory.events()}
"""Any event of each type, as the JSON object that is sent."""

events = st.one_of(list(documents.values()))
"""Any event of the protocol."""
