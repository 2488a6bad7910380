"""Ids that follow from the call: the same call has the same trace, after a restart too.

Both views and the span path derive ids here, so that an exemplar always points at a span that exists.
"""

from functools import lru_cache
from hashlib import blake2b

import msgspec

TurnKey = tuple[str, int]
"""What names a turn within its session: the sub-agent's id (empty for none) and the turn's number."""


_LONGEST = 128
"""Ids on the wire are shorter; a longer one is kept as its digest, since ids stay in memory."""
_BY_ID = -1
"""Stands for the number of a turn that only has an id."""


def shorten_id(given: str) -> str:
    """An id as it is remembered."""
    return given if len(given) <= _LONGEST else blake2b(given.encode("utf-8", "replace"), digest_size=16).hexdigest()


def turn_key(agent_tool_id: str | None, turn_number: float) -> TurnKey:
    """The key of a numbered turn."""
    return ((agent_tool_id and shorten_id(agent_tool_id)) or "", int(turn_number))


def turn_key_by_id(turn_id: str) -> TurnKey:
    """The key of a turn without a number: servers of the second generation name only its id."""
    return (shorten_id(turn_id), _BY_ID)


def is_by_id(key: TurnKey) -> bool:
    """Whether a turn is known by its id alone."""
    return key[1] == _BY_ID


def trace_id(session_id: str) -> str:
    """The trace id of a session, 32 hexadecimal digits."""
    return blake2b(session_id.encode("utf-8", "replace"), digest_size=16, person=b"agentstack-trace").hexdigest()


def root_span_id(session_id: str) -> str:
    """The id of the session's root span, 16 hexadecimal digits."""
    return blake2b(session_id.encode("utf-8", "replace"), digest_size=8, person=b"agentstack-root").hexdigest()


@lru_cache(maxsize=4096)
def turn_span_id(trace: str, turn: TurnKey) -> str:
    """The id of a turn's span in ``trace``, 16 hexadecimal digits."""
    return turn_span(trace, turn).hex()


def turn_span(trace: str, turn: TurnKey) -> bytes:
    """The same as it stands in a span, 8 bytes."""
    return blake2b(f"{trace}/{turn[0]}/{turn[1]}".encode("utf-8", "replace"), digest_size=8, person=b"agentstack-turn").digest()


def turn_trace_id(trace: str, turn: TurnKey) -> str:
    """The trace id of a turn that has a trace of its own, 32 hexadecimal digits; ``trace`` is the session's."""
    return blake2b(f"{trace}/{turn[0]}/{turn[1]}".encode("utf-8", "replace"), digest_size=16, person=b"agentstack-tturn").hexdigest()


def child_span_id(parent: bytes, number: int) -> bytes:
    """The id of a span's child, one of many, 8 bytes."""
    return blake2b(parent + number.to_bytes(8, "big"), digest_size=8, person=b"agentstack-child").digest()


class TurnRef(msgspec.Struct, frozen=True, gc=False):
    """Points at a turn's span. Made for each turn, looked at for few: the span id is worked out only then."""

    trace_id: str
    turn: TurnKey

    @property
    def span_id(self) -> str:
        """The id of the turn's span."""
        return turn_span_id(self.trace_id, self.turn)
