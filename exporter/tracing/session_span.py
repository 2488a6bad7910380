"""The session's span, root of its trace: written once, when the session is over."""

from typing import Final

from exporter.events.session import SessionEnded
from exporter.protobuf import attribute
from exporter.protocol.ids import child_span_id
from exporter.sessions.clock import SECOND, nanoseconds
from exporter.sessions.span_state import ReportedTimes, SpanBuffer, SpanState
from exporter.tracing.attributes import TextAttributeCache
from exporter.tracing.encoder import FAILED, FLAGS, INTERNAL, ON_SPAN, dropped_events_part, name_part, parent_part, start_end_part
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.span_handlers import Emit

_NAME: Final = name_part("session", INTERNAL)
_LONGEST: Final = 86_400 * SECOND
_CONTINUED: Final = attribute(ON_SPAN, "agentstack.session.continued", value=True)
_AFTER_TOOLS: Final = 1 << 32
"""The numbers of the root's children, which give their ids: tool calls are below this one, continued sessions from here on."""
END_REASON: Final = "agentstack.session.end_reason"


class SessionSpan:
    """Writes the spans of sessions."""

    def __init__(self, options: SpanOptions, emit: Emit) -> None:
        self._emit = emit
        self._reasons = TextAttributeCache(ON_SPAN, END_REASON, options.attribute_length)

    def write(self, state: SpanState, buffer: SpanBuffer, reason: str, end: int) -> None:
        """Emit the span. It covers its turns, and reaches to the reported end or, if there is none, to ``end`` (unix nanoseconds)."""
        reported = state.reported
        end = reported.end or end
        state.extend(reported.start or min(state.clock.at(state.started_at), end - reported.duration), end)
        span = b"".join(
            (
                state.trace_part, *_id_and_parent(state), _NAME, start_end_part(state.span_start, state.span_end),
                state.identity, _CONTINUED if state.continued else b"", *buffer.attributes.values(),
                b"" if reported.has_reason else self._reasons[reason],
                *buffer.events, dropped_events_part(buffer.dropped), FAILED if state.failed else b"", FLAGS,
            )
        )  # fmt: skip
        self._emit((span,))


def _id_and_parent(state: SpanState) -> tuple[bytes, bytes]:
    """The span's own id and its serialised parent.

    A session is the root. If it was cut off and continued, its first span is the root already, and the later ones are children of that.
    """
    if not state.continued:
        return state.root_id, b""
    return child_span_id(state.root_id, _AFTER_TOOLS + state.continued), parent_part(state.root_id)


def note_end(state: SpanState, event: SessionEnded, receipt: float) -> None:
    """Note when the platform says that the session began and ended. A time that is not plausible counts as missing."""
    end = nanoseconds(event.ended_at) if event.ended_at is not None else 0
    if end and not state.clock.learn(end, receipt):
        end = 0
    start = nanoseconds(event.started_at) if event.started_at is not None else 0
    if start and not 0 <= (end or state.clock.at(receipt)) - start <= _LONGEST:
        start = 0
    duration = int(event.duration_seconds * SECOND) if event.duration_seconds is not None else 0
    if start and not end and duration:
        end = start + duration
    state.reported = ReportedTimes(start, end, duration, event.reason is not None)
