"""A tap on the Plivo Python SDK's ``VoiceApp``: its handlers are single slots, so the customer's are called behind ours."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from exporter.tap.client import Tap

_SESSION_IDS: Final = ("agent_session_id", "session_id", "call_id", "stream_id", "id")


def attach(app: Any, url: str, *, tap: Tap | None = None, **options: Any) -> Tap:
    """Tap a ``VoiceApp``: from now on its events go to the exporter at ``url`` as well.

    Call it after your own handlers are in place; they are called as before, with what they were called with, and their results and
    exceptions are theirs. ``options`` are those of :class:`Tap`. Returns the tap, whose :meth:`Tap.send` takes what the SDK does not
    hand to a handler: it drops fields it does not know, so hand it the platform's own text where your code sees that.
    """
    tapped = tap or Tap(url, **options)
    app.on_event = _chained(tapped, getattr(app, "on_event", None))
    for slot in ("on_connect", "on_disconnect"):
        if not hasattr(app, slot):
            setattr(app, slot, None)
    return tapped


def _chained(tap: Tap, theirs: Callable[..., Any] | None) -> Callable[..., Any]:
    """Our handler with theirs behind it, a coroutine function if theirs is one."""
    if theirs is None or inspect.iscoroutinefunction(theirs):

        async def heard(*args: Any, **kwargs: Any) -> Any:
            _tell(tap, args, kwargs)
            return None if theirs is None else await theirs(*args, **kwargs)

        return heard

    def heard_at_once(*args: Any, **kwargs: Any) -> Any:
        _tell(tap, args, kwargs)
        return theirs(*args, **kwargs)

    return heard_at_once


def _tell(tap: Tap, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Find session and event among what a handler is called with, and hand them over; nothing leaves from here."""
    try:
        given = [*args, *kwargs.values()]
        event = next((document for value in given if (document := _document(value)) is not None), None)
        session = next((found for value in given if (found := _session_id(value)) is not None), None)
        if event is not None:
            tap.send(session or _named(event) or "unknown", event)
    except Exception:  # noqa: BLE001 - the customer's handler comes next, whatever happened here
        return


def _document(value: Any) -> Mapping[str, Any] | str | None:
    """The event as the platform wrote it, if this is one: a mapping, or an object that can be one, that names its type."""
    raw = getattr(value, "raw", value)
    if isinstance(raw, str):
        return raw if raw.lstrip().startswith("{") else None
    if not isinstance(raw, Mapping):
        for way in ("to_dict", "model_dump", "dict"):
            if callable(found := getattr(raw, way, None)):
                raw = found()
                break
        else:
            raw = dataclasses.asdict(raw) if dataclasses.is_dataclass(raw) and not isinstance(raw, type) else None
    if isinstance(raw, Mapping) and isinstance(raw.get("type") or raw.get("event"), str):
        return {key: found for key, found in raw.items() if found is not None}
    return None


def _session_id(value: Any) -> str | None:
    if isinstance(value, Mapping) or _document(value) is not None:
        return None
    return next((found for name in _SESSION_IDS if isinstance(found := getattr(value, name, None), str) and found), None)


def _named(event: Mapping[str, Any] | str) -> str | None:
    if isinstance(event, str):
        return None
    return next((found for name in _SESSION_IDS if isinstance(found := event.get(name), str) and found), None)
