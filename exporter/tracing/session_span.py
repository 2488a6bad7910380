"""The session's span, root of its trace: written once, when the session is over."""

from typing import Final

from exporter.events.session import SessionEnded
from exporter.protocol.ids import child_span_id
from exporter.sessions.clock import SECOND, nanoseconds
from exporter.sessions.span_state import Collected, SpanState
from exporter.tracing.attributes import Texts
from exporter.tracing.encoder import FAILED, FLAGS, INTERNAL, ON_SPAN, attribute, dropped_events, edges_part, name_part, parent_part
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.turn_spans import Emit

_NAME: Final = name_part("session", INTERNAL)
_LONGEST: Final = 86_400 * SECOND
_CONTINUED: Final = attribute(ON_SPAN, "agentstack.session.continued", value=True)
_AFTER_TOOLS: Final = 1 << 32
"""Children of the root have numbers: tool calls those below."""
END_REASON: Final = "agentstack.session.end_reason"


class SessionSpan:
    """Writes sessions."""

    def __init__(self, options: SpanOptions, emit: Emit) -> None:
        self._emit = emit
        self._reasons = Texts(ON_SPAN, END_REASON, options.attribute_length)

    def write(self, state: SpanState, collected: Collected, reason: str, end: int) -> None:
        """Emit the span; it covers its turns and reaches at least to ``end`` (unix nanoseconds)."""
        started, ended, lasted, reason_given = state.ended
        end = ended or end
        state.cover(started or min(state.clock.at(state.began), end - lasted), end)
        span = b"".join(
            (
                state.trace_part, *_place(state), _NAME, edges_part(state.span_start, state.span_end),
                state.identity, _CONTINUED if state.continued else b"", *collected.attributes.values(),
                b"" if reason_given else self._reasons[reason],
                *collected.events, dropped_events(collected.dropped), FAILED if state.failed else b"", FLAGS,
            )
        )  # fmt: skip
        self._emit((span,))


def _place(state: SpanState) -> tuple[bytes, bytes]:
    """Own id and parent: the root, or below it where a root was written when the call was cut off that now has gone on."""
    if not state.continued:
        return state.root_id, b""
    return child_span_id(state.root_id, _AFTER_TOOLS + state.continued), parent_part(state.root_id)


def note_end(state: SpanState, event: SessionEnded, receipt: float) -> None:
    """Take in when the platform says that the session began and ended; a time that cannot be right counts as missing."""
    ended = nanoseconds(event.ended_at) if event.ended_at is not None else 0
    if ended and not state.clock.note(ended, receipt):
        ended = 0
    started = nanoseconds(event.started_at) if event.started_at is not None else 0
    if started and not 0 <= (ended or state.clock.at(receipt)) - started <= _LONGEST:
        started = 0
    lasted = int(event.duration_seconds * SECOND) if event.duration_seconds is not None else 0
    if started and not ended and lasted:
        ended = started + lasted
    state.ended = (started, ended, lasted, event.reason is not None)
