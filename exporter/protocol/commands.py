"""Commands: what a customer's app sends to the platform. A frame → a command of one of a closed set of kinds.

Only a relay sees commands. Reading one never fails: a frame that cannot be read has a kind of its own. The content may be personal,
so only two parts of it are read: the id of the tool call that a command answers, and whether a text is the last.
"""

from typing import Final, Literal

import msgspec

from exporter.protocol.members import MOST_STEPS, join, split

KINDS: Final = frozenset({
    "agent_session.extend_wait",
    "agent_session.handoff",
    "agent_session.hangup",
    "agent_session.inject",
    "agent_session.play",
    "agent_session.send_dtmf",
    "agent_session.speak",
    "agent_session.transfer",
    "agent_session.update",
    "audio.mix",
    "audio.mix_enable",
    "checkpoint",
    "clearAudio",
    "playAudio",
    "text",
    "tool.error",
    "tool.result",
})  # fmt: skip
"""The kinds by their name on the wire, which is in ``type`` or, for audio streaming, in ``event``."""
OTHER: Final = "other"
"""The kind of a command with an unknown name."""
UNREADABLE: Final = "unreadable"
"""The kind of a frame that is not a command."""
UPDATE: Final = "agent_session.update"
"""The command that subscribes to events, among other things."""
Direction = Literal["caller", "agent"]
"""Where audio comes from: from the caller (to the app), or from the agent, which is the app (to the caller)."""


class Command(msgspec.Struct, frozen=True, gc=False):
    """A command. ``answers`` is the id of the tool call that it answers; ``last`` says that it ends a streamed answer."""

    kind: str
    answers: str | None = None
    last: bool = False


PLAY_AUDIO: Final = Command("playAudio")
"""The command that carries audio, many times a second."""


class _Frame(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None
    event: str | None = None
    id: str | int | None = None
    last: bool | None = None


_decoder: Final = msgspec.json.Decoder(_Frame)
_NOT_READ: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
_NAMES: Final = frozenset(b'"%b"' % name.encode() for name in _Frame.__struct_encode_fields__)
_UNREADABLE: Final = Command(UNREADABLE)


def read_command(frame: str | bytes) -> Command:
    """Read a frame from the app."""
    try:
        found = _decoder.decode(frame)
    except _NOT_READ:
        found = _read_parts(frame.encode("utf-8", "replace") if isinstance(frame, str) else frame)
    name = found.type or found.event
    if name is None:
        return _UNREADABLE
    return Command(name if name in KINDS else OTHER, None if found.id is None else str(found.id), found.last is True)


def _read_parts(frame: bytes) -> _Frame:
    """The parts of a command that count, although others cannot be read."""
    if not frame.lstrip().startswith(b"{"):
        return _Frame()
    try:
        return _decoder.decode(join(member for member in split(frame, MOST_STEPS) if member[0] in _NAMES))
    except _NOT_READ:
        return _Frame()
