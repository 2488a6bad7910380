"""What a process that stops knows of a call, so that the next one goes on where it left off.

The text is opaque to whoever keeps it in between, but it comes back from a peer: all of it is checked, and bounded as a session is.
"""

import math
from base64 import b85decode, b85encode
from typing import Annotated, Final, Literal

import msgspec

from exporter.analysis.states import MOST_OPEN_TOOLS, MOST_USED_MODELS
from exporter.analysis.turns import MOST_TURNS, MOST_WAITING
from exporter.events.speech import AGENT_STATES, USER_STATES
from exporter.events.turns import TurnCompleted
from exporter.metrics.label_limits import MAX_RAW
from exporter.metrics.recorder import one_of
from exporter.protocol.ids import TurnKey
from exporter.sessions.registry import Session
from exporter.sessions.turn_taking_state import TurnTakingState

_STATES: Final = {"user": USER_STATES, "agent": AGENT_STATES}
_Time = Annotated[float, msgspec.Meta(ge=0, le=2**40)]
_Amount = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
_Text = Annotated[str, msgspec.Meta(max_length=MAX_RAW)]
_Whole = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_StoodIn = Literal["stt_delay_ms", "turn_decision_ms", "llm_ttft_ms", "tts_ttfb_ms", "realtime_ttft_ms"]
_Usage = Annotated[dict[str, _Amount], msgspec.Meta(max_length=16)]


class Carried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session's memory. Times are unix seconds; collections are as :class:`exporter.sessions.registry.Session` has them."""

    version: Literal[1] = 1
    agent: _Text | None = None
    answered_by: Literal["human", "machine", "unknown"] = "unknown"
    started_at: _Time = 0.0
    last_event_at: _Time = 0.0
    saw_start: bool = False
    format_counted: bool = False
    over: bool = False
    end_taken_in: bool = False
    told_missing: bool = False
    turns_completed: _Whole = 0
    unmatched_metrics: _Whole = 0
    turn_metrics: _Whole = 0
    turns: Annotated[dict[TurnKey, tuple[_StoodIn, ...] | None], msgspec.Meta(max_length=MOST_TURNS)] | None = None
    pending_turns: Annotated[dict[TurnKey, TurnCompleted], msgspec.Meta(max_length=MOST_WAITING)] | None = None
    states: dict[Literal["user", "agent"], tuple[_Text, _Time, _Time]] | None = None
    agent_tools: Annotated[dict[str, tuple[_Text, _Time]], msgspec.Meta(max_length=MOST_OPEN_TOOLS)] | None = None
    usage: Annotated[dict[tuple[_Text, _Text, _Text], _Usage], msgspec.Meta(max_length=MOST_USED_MODELS)] | None = None
    models: Annotated[tuple[_Text | None, ...], msgspec.Meta(min_length=8, max_length=8)] | None = None
    models_at: _Time = 0.0
    continued: _Whole = 0
    turn_taking: TurnTakingState | None = None
    kept: bool = False


_decoder = msgspec.msgpack.Decoder(Carried)
_SAME_NAMES: Final = tuple(
    name
    for name in Carried.__struct_fields__
    if name not in {"version", "agent", "answered_by", "turn_taking", "kept", "over", "pending_turns", "states"}
)


def pack(session: Session) -> str:
    """The session's memory as text."""
    carried = Carried(
        agent=session.agent,
        answered_by=session.answered_by if session.answered_by in ("human", "machine") else "unknown",  # type: ignore[arg-type]
        over=session.over,
        pending_turns=session.pending_turns,
        states=session.states,  # type: ignore[arg-type]
        turn_taking=session.turn_taking,
        kept=session.spans is not None and session.spans.kept,
        **{name: getattr(session, name) for name in _SAME_NAMES},
    )
    return b85encode(msgspec.msgpack.encode(carried)).decode()


def unpack(text: str) -> Carried | None:
    """The memory in a text, or ``None`` if that is not one of ours."""
    try:
        carried = _decoder.decode(b85decode(text))
    except (ValueError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return carried if carried.turn_taking is None or _is_sound(carried.turn_taking) else None


def recall(session: Session, carried: Carried) -> None:
    """Give the session its memory back; all but the turns and the caller that wait, which somebody has to wait for."""
    for name in _SAME_NAMES:
        setattr(session, name, getattr(carried, name))
    if carried.states:
        session.states = {
            who: (one_of(state, _STATES[who]), moment, received) for who, (state, moment, received) in carried.states.items()
        }


def _is_sound(turn_taking: TurnTakingState) -> bool:
    """Whether all its numbers are numbers."""
    moments = (turn_taking.user_began, turn_taking.user_stopped, turn_taking.agent_began, turn_taking.turn, turn_taking.answered)
    numbers = [
        turn_taking.told,
        turn_taking.silence,
        turn_taking.wait,
        *(number for moment in moments if moment for number in moment if number),
    ]
    return all(map(math.isfinite, numbers))
