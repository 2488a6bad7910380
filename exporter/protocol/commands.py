"""What a customer's app sends to the platform: a frame → a command, named by one of a closed set of kinds.

Commands pass through a relay only. They are never events: nothing here fails, and what cannot be read is a kind of its own. Of their
content, which may be personal, only the id of the tool call they answer and whether a text is the last are looked at.
"""

from typing import Final, Literal

import msgspec

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
"""Commands by the name they have on the wire, in ``type`` or, for audio streaming, in ``event``."""
OTHER: Final = "other"
"""The kind of a command whose name is not known."""
UNREADABLE: Final = "unreadable"
"""The kind of a frame that is no command at all."""
UPDATE: Final = "agent_session.update"
"""The command that says, among other things, which events are wanted."""
Direction = Literal["caller", "agent"]
"""Which way audio goes: from the caller to the app, or from the app, which is the agent, to the caller."""


class Command(msgspec.Struct, frozen=True, gc=False):
    """A command. ``answers`` is the id of the tool call it is about, ``last`` whether it ends a streamed answer."""

    kind: str
    answers: str | None = None
    last: bool = False


PLAY_AUDIO: Final = Command("playAudio")
"""The command that brings audio, many times a second."""


class _Frame(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None
    event: str | None = None
    id: str | int | None = None
    last: bool | None = None


_decoder: Final = msgspec.json.Decoder(_Frame)
_UNREADABLE: Final = Command(UNREADABLE)


def read_command(frame: str | bytes) -> Command:
    """Read a frame that the app sent."""
    try:
        found = _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _UNREADABLE
    name = found.type or found.event
    if name is None:
        return _UNREADABLE
    return Command(name if name in KINDS else OTHER, None if found.id is None else str(found.id), found.last is True)
