"""Events as JSON. It is done in the tap's thread, so that the app does not wait for it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

_STARTS: Final = ("session.started", '"start"')
_START_TYPES: Final = {"session.started", "agent_session.started", "start"}
_UNCHANGING: Final = frozenset({str, int, float, bool, type(None)})
"""Types of values that nobody can change later."""
_PARTS: Final = (dict, list)
_FIELD: Final = 24
"""Characters of a field as JSON, without the text in it: most of them are its name."""


class Written(NamedTuple):
    """An event as JSON, whether a call begins with it, and its own size in bytes."""

    text: str
    starts: bool
    size: int


class Writer:
    """Writes events. ``provenance`` is added to the first event of each call, unless that says itself what feeds the call."""

    def __init__(self, provenance: Mapping[str, str]) -> None:
        self._provenance = provenance

    def made(self, make: Callable[[], Iterable[Mapping[str, Any]]]) -> Iterator[Written]:
        """The events that ``make`` returns."""
        return map(self._event, make())

    def event(self, event: Mapping[str, Any]) -> tuple[Written]:
        """An event."""
        return (self._event(event),)

    def frame(self, frame: str | bytes) -> tuple[Written]:
        """A frame as it came from the platform."""
        text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
        starts = _begins(text)
        if starts and self._provenance:
            text = as_json(self._named(json.loads(text)))
        return (Written(as_json(text), starts, _bytes_of(text)),)

    def _event(self, event: Mapping[str, Any]) -> Written:
        starts = _is_start(event)
        text = as_json(self._named(event) if starts else event)
        return Written(text, starts, _bytes_of(text))

    def _named(self, start: Mapping[str, Any]) -> Mapping[str, Any]:
        """The first event of a call, with what feeds the call. What the event itself says is left as it is."""
        return {**self._provenance, **start} if self._provenance and "type" in start else start


def unchanging(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """A copy of an event that can be written later, or ``None`` if parts of parts of the event may change until then."""
    copy = dict(event)
    if _UNCHANGING.issuperset(map(type, copy.values())):
        return copy
    for name, value in copy.items():
        if type(value) not in _UNCHANGING:
            part = _part(value)
            if part is None:
                return None
            copy[name] = part
    return copy


def characters_of(event: Mapping[str, Any] | Iterable[Any]) -> int:
    """About how many characters an event that :func:`unchanging` returned has as JSON."""
    values = event.values() if isinstance(event, dict) else event
    sizes = [len(value) if type(value) is str else characters_of(value) if type(value) in _PARTS else 0 for value in values]
    return sum(sizes) + _FIELD * len(sizes)


def _part(value: Any) -> Any:
    if type(value) is dict:
        return dict(value) if _UNCHANGING.issuperset(map(type, value.values())) else None
    return list(value) if type(value) is list and _UNCHANGING.issuperset(map(type, value)) else None


_encode: Final = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
"""Made once: ``json.dumps`` makes one for each event, which takes as long as a short event."""


def as_json(event: Mapping[str, Any] | str) -> str:
    """JSON with letters as they are: escaped, those that are not Latin take up to three times as much."""
    text = _encode(event)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of an emoji cannot be sent as it is
        return json.dumps(event, allow_nan=False, separators=(",", ":"))
    return text


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _is_start(event: Mapping[str, Any]) -> bool:
    return (event.get("type") or event.get("event")) in _START_TYPES


def _begins(frame: str) -> bool:
    """Whether a frame begins a call. Nearly all frames are told apart without parsing them."""
    if not any(word in frame for word in _STARTS):
        return False
    try:
        found = json.loads(frame)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and _is_start(found)
