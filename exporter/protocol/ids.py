"""Ids of sessions, turns, traces and spans. Trace and span ids derive from the call's ids: a restart does not change them.

Exemplars and spans take their ids from here, so an exemplar always points at an existing span.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal

import msgspec

TurnKey = tuple[str, int]
"""Identifies a turn within its session: the sub-agent's id (empty for the main agent) and the turn's number."""

FurtherSpan = Literal["late", "unnumbered", "repeated"]
"""Why a turn's key is not enough: it was written without metrics before, it has no number, or it may have been written long ago."""
_FURTHER: tuple[FurtherSpan | None, ...] = (None, "late", "unnumbered", "repeated")
_LONGEST = 128
"""Characters of an id that is kept as it is; ids seen on the wire are shorter."""
_AFTER_TOOLS = 1 << 32
"""The numbers of the root's children, which give their ids: tool calls are below this one, continued sessions from here on."""
_BY_ID = -1
"""Takes the place of the number in the key of a turn that only has an id."""


_new_turn_span: Final = blake2b(digest_size=8, person=b"agentstack-turn").copy
"""A copy for each turn takes half the time of reading the arguments again."""


def shorten_id(wire_id: str) -> str:
    """An id of at most 128 characters, as it is kept in memory: a longer id becomes its digest."""
    return wire_id if len(wire_id) <= _LONGEST else blake2b(wire_id.encode("utf-8", "replace"), digest_size=16).hexdigest()


def turn_key(agent_tool_id: str | None, turn_number: float) -> TurnKey:
    """The key of a numbered turn."""
    return ((agent_tool_id and shorten_id(agent_tool_id)) or "", int(turn_number))


def turn_key_by_id(turn_id: str) -> TurnKey:
    """The key of a turn without a number: servers of the second generation send only its id."""
    return (shorten_id(turn_id), _BY_ID)


def is_by_id(key: TurnKey) -> bool:
    """Whether the key is of a turn without a number."""
    return key[1] == _BY_ID


def further_key(turn: TurnKey, kind: FurtherSpan | None, continued: int) -> TurnKey:
    """The key of a span where ``turn`` may have one already: because of its ``kind``, or ``continued`` sessions had the id before.

    Its number is below those of keys from the wire, so that no sub-agent's id can make the two equal.
    """
    if kind is None and not continued:
        return turn
    return turn[0], -2 - (turn[1] * len(_FURTHER) + _FURTHER.index(kind) << 32 | continued)


def trace_id(session_id: str) -> str:
    """The trace id of a session, 32 hexadecimal digits."""
    return blake2b(session_id.encode("utf-8", "replace"), digest_size=16, person=b"agentstack-trace").hexdigest()


def root_span_id(session_id: str) -> str:
    """The id of the session's root span, 16 hexadecimal digits."""
    return blake2b(session_id.encode("utf-8", "replace"), digest_size=8, person=b"agentstack-root").hexdigest()


def continued_span_id(root: bytes, continued: int) -> bytes:
    """The id of the span of a session whose id ``continued`` sessions had before; ``root`` is that of the first, 8 bytes."""
    return child_span_id(root, _AFTER_TOOLS + continued)


@lru_cache(maxsize=4096)
def turn_span_id(trace: str, turn: TurnKey) -> str:
    """The id of a turn's span in ``trace``, 16 hexadecimal digits."""
    return turn_span(trace, turn).hex()


def turn_span(trace: str, turn: TurnKey) -> bytes:
    """The id of a turn's span as OTLP writes it, 8 bytes."""
    digest = _new_turn_span()
    digest.update(f"{trace}/{turn[0]}/{turn[1]}".encode("utf-8", "replace"))
    return digest.digest()


def turn_trace_id(trace: str, turn: TurnKey) -> str:
    """The trace id of a turn that is exported as a trace of its own, 32 hexadecimal digits; ``trace`` is the session's."""
    return blake2b(f"{trace}/{turn[0]}/{turn[1]}".encode("utf-8", "replace"), digest_size=16, person=b"agentstack-tturn").hexdigest()


def child_span_id(parent: bytes, number: int) -> bytes:
    """The id of child number ``number`` of the span ``parent``, 8 bytes."""
    return blake2b(parent + number.to_bytes(8, "big"), digest_size=8, person=b"agentstack-child").digest()


class TurnRef(msgspec.Struct, frozen=True, gc=False):
    """A reference to a turn's span. Every turn gets one, few are read, so the span id is computed only when it is read."""

    trace_id: str
    turn: TurnKey

    @property
    def span_id(self) -> str:
        """The id of the turn's span."""
        return turn_span_id(self.trace_id, self.turn)
