"""The messages of a tap: a hello, then one event at a time in an envelope with the name of its call and a number.

docs/tap.md describes the protocol in full.
"""

from typing import Annotated, Final, Literal

import msgspec

from exporter.protocol.members import MOST_STEPS, join, split

VERSION: Final = 1
"""Version of the protocol that is implemented here."""
DropReason = Literal["overflow", "too_large", "unreadable"]
_HELLO_WITHIN: Final = 256
"""Characters at the start of a connection's first frame among which the key ``hello`` must stand."""

_ABSENT: Final = msgspec.Raw()
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Number = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]


class Hello(msgspec.Struct, frozen=True):
    """The first message of a connection. A tap chooses a new ``client`` whenever its numbering starts again."""

    client: Annotated[str, msgspec.Meta(min_length=8, max_length=64)]
    version: Annotated[int, msgspec.Meta(ge=1)] = VERSION


class Resume(msgspec.Struct, frozen=True):
    """A call that another process counted before: its first event, and the state that the exporter sent when it stopped."""

    start: msgspec.Raw = _ABSENT
    state: str | None = None


class Envelope(msgspec.Struct, frozen=True):
    """One message of a tap.

    ``event`` is an object, or a string with the original frame. ``end`` says that the call's own connection has ended. ``dropped`` has
    the number of events dropped since the last such message, by reason.
    """

    session: Name | None = None
    seq: Number | None = None
    event: msgspec.Raw = _ABSENT
    end: bool = False
    resume: Resume | None = None
    dropped: dict[DropReason, Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]] | None = None


class _Opening(msgspec.Struct, frozen=True):
    hello: Hello


class MalformedError(Exception):
    """The message is not an envelope. The text says what was expected and where, and quotes nothing of the message."""


_opening = msgspec.json.Decoder(_Opening)
_envelope = msgspec.json.Decoder(Envelope)
_text = msgspec.json.Decoder(str)
_NOT_READ: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


def is_hello(frame: str | bytes) -> bool:
    """Whether the first frame of a connection may be a hello."""
    head = frame[:_HELLO_WITHIN]
    return ('"hello"' in head) if isinstance(head, str) else (b'"hello"' in head)


def read_hello(frame: str | bytes) -> Hello | None:
    """The hello in the first frame of a connection, or ``None`` if the frame is an event that only looks like one."""
    try:
        return _opening.decode(frame).hello
    except _NOT_READ:
        return None


def read_envelope(frame: str | bytes) -> Envelope:
    """Read a message. Raises :class:`MalformedError`."""
    try:
        envelope = _envelope.decode(frame)
    except _NOT_READ as problem:
        try:
            envelope = _envelope.decode(_with_quoted_event(frame))
        except _NOT_READ:
            raise MalformedError(f"cannot be read: {_said(problem)}") from None
    kinds = [is_present(envelope.event), envelope.end, envelope.resume is not None, envelope.dropped is not None]
    if sum(kinds) != 1:
        raise MalformedError("expected exactly one of event, end, resume and dropped")
    if envelope.seq is None and envelope.resume is None:
        raise MalformedError("expected seq, a whole number from 1 that grows with each message")
    if envelope.session is None and envelope.dropped is None:
        raise MalformedError("expected session, the name of the call")
    return envelope


def _with_quoted_event(frame: str | bytes) -> bytes:
    """The message with its event as a string. The event's own decoder reads events with parts that make the whole unreadable here."""
    raw = frame.encode("utf-8", "replace") if isinstance(frame, str) else frame
    members = dict(split(raw, MOST_STEPS)) if raw.lstrip().startswith(b"{") else {}
    event = members.get(b'"event"', b"")
    if not event.startswith(b"{"):
        return raw
    return join((members | {b'"event"': msgspec.json.encode(event.decode())}).items())


def _said(problem: Exception) -> str:
    if isinstance(problem, RecursionError):
        return "it is nested too deep"
    return str(problem) if isinstance(problem, msgspec.MsgspecError) else "it is not UTF-8 text"


def is_present(part: msgspec.Raw) -> bool:
    """Whether an optional part is present and not ``null``."""
    return bytes(part) not in (b"", b"null")


def unwrap(event: msgspec.Raw) -> str | bytes:
    """The frame of an event: the object itself, or the content of its string."""
    raw = bytes(event)
    if raw[:1] != b'"':
        return raw
    try:
        return _text.decode(raw)
    except _NOT_READ:
        return raw
