"""What a tap sends: a hello, then one call's event at a time, wrapped with the call's name and a number.

docs/tap.md has the protocol in full.
"""

from typing import Annotated, Final, Literal

import msgspec

VERSION: Final = 1
"""The protocol's version that is spoken here."""
DropReason = Literal["overflow", "too_large", "unreadable"]
_HELLO_WITHIN: Final = 256
"""The opening is found in the first characters of a connection's first frame."""

_ABSENT: Final = msgspec.Raw()
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Number = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]


class Hello(msgspec.Struct, frozen=True):
    """Who begins: ``client`` is made up anew whenever the numbering begins anew."""

    client: Annotated[str, msgspec.Meta(min_length=8, max_length=64)]
    version: Annotated[int, msgspec.Meta(ge=1)] = VERSION


class Resume(msgspec.Struct, frozen=True):
    """A call that was counted before: the event it began with, and what the exporter said to keep of it."""

    start: msgspec.Raw = _ABSENT
    state: str | None = None


class Envelope(msgspec.Struct, frozen=True):
    """One message of a tap.

    ``event`` is an object, or a string that holds the frame as it came. ``end`` says that the call's own connection is gone.
    ``dropped`` is how many events were dropped since the last such message, by reason.
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
    """The message is none of those; its text says where and what was expected, and quotes nothing of it."""


_opening = msgspec.json.Decoder(_Opening)
_envelope = msgspec.json.Decoder(Envelope)
_text = msgspec.json.Decoder(str)
_NOT_READ: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


def is_hello(frame: str | bytes) -> bool:
    """Whether a connection's first frame is a tap's."""
    head = frame[:_HELLO_WITHIN]
    return ('"hello"' in head) if isinstance(head, str) else (b'"hello"' in head)


def read_hello(frame: str | bytes) -> Hello | None:
    """The hello in a connection's first frame, or ``None`` if it is an event that only looks like one."""
    try:
        return _opening.decode(frame).hello
    except _NOT_READ:
        return None


def read_envelope(frame: str | bytes) -> Envelope:
    """Read a message; raises :class:`MalformedError`."""
    try:
        envelope = _envelope.decode(frame)
    except _NOT_READ as problem:
        raise MalformedError(f"cannot be read: {problem}" if isinstance(problem, msgspec.MsgspecError) else "is no text") from None
    kinds = [is_there(envelope.event), envelope.end, envelope.resume is not None, envelope.dropped is not None]
    if sum(kinds) != 1:
        raise MalformedError("expected exactly one of event, end, resume and dropped")
    if envelope.seq is None and envelope.resume is None:
        raise MalformedError("expected seq, a whole number from 1 that grows with each message")
    if envelope.session is None and envelope.dropped is None:
        raise MalformedError("expected session, the name of the call")
    return envelope


def is_there(part: msgspec.Raw) -> bool:
    """Whether a part that may be left out, or be ``null``, was given."""
    return bytes(part) not in (b"", b"null")


def unwrap(event: msgspec.Raw) -> str | bytes:
    """The frame that an event is: the object itself, or what its string holds."""
    raw = bytes(event)
    if raw[:1] != b'"':
        return raw
    try:
        return _text.decode(raw)
    except _NOT_READ:
        return raw
