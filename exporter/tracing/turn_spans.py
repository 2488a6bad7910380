"""A turn → its spans: ``invoke_agent``, and below it one span for each stage of which anything is known.

One pass goes from the event's fields to OTLP bytes; what each field becomes is compiled at start.
"""

from typing import Final

import msgspec

from exporter.catalogue.declarations import SpanName
from exporter.catalogue.genai import END_REASON, attribute_key, constants
from exporter.catalogue.inspect import inspect_event
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.protobuf import attribute, attributes
from exporter.protocol.ids import TurnKey, child_span_id, turn_span, turn_trace_id
from exporter.sessions.clock import SECOND
from exporter.sessions.span_state import SpanBuffer, SpanState, ToolCall
from exporter.tracing.attributes import TextAttributeCache, label_text, span_attributes
from exporter.tracing.encoder import (
    CLIENT,
    FAILED,
    FLAGS,
    INTERNAL,
    ON_SPAN,
    SpanKind,
    SpanNameCache,
    dropped_events_part,
    event_name,
    link_part,
    parent_part,
    start_end_part,
    trace_part,
)
from exporter.tracing.messages import Messages
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.span_handlers import Emit
from exporter.tracing.stage_spans import StageConstants, TurnStages, stage_spans
from exporter.tracing.timeline import is_timed, lay_out
from exporter.tracing.turn_attributes import turn_attributes_writer

STAGES: Final[tuple[tuple[SpanName, SpanKind], ...]] = (
    ("user_speech", INTERNAL),
    ("speech_to_text", CLIENT),
    ("turn_detection", INTERNAL),
    ("chat", CLIENT),
    ("text_to_speech", CLIENT),
    ("agent_speech", INTERNAL),
    ("realtime_inference", CLIENT),
)
"""The stages of a turn, each a child of its span, in the order of :mod:`exporter.tracing.timeline`."""
TURN: Final = len(STAGES)
"""The index of the turn's own span, where the others are stages."""
SLOTS: Final = 64
"""Slots of buffered attributes that each span has: a slot's number is the span's index times this, plus the event type's number."""
STAGE_OF_ERROR: Final = {
    "vad": 0, "stt": 1, "eou": 2, "turn_detection": 2, "llm": 3, "tts": 4, "realtime": 6, "realtime_model": 6, "s2s": 6,
}  # fmt: skip
"""``error_source`` → the stage that failed."""
_FIRST_TOKEN: Final = event_name("first_token")
_FIRST_OUTPUT: Final = (b"", b"", b"", _FIRST_TOKEN, event_name("first_byte"), b"", _FIRST_TOKEN)
"""By stage, the event that marks a model's first output."""
_BEFORE_ESTIMATED: Final = 120 * SECOND


class TurnIds(msgspec.Struct, frozen=True, gc=False):
    """Where a turn's span belongs: serialised trace and parent, its own id, and a link if its trace is not the session's."""

    trace: bytes
    span: bytes
    parent: bytes
    link: bytes


class WrittenTurn(msgspec.Struct, frozen=True, gc=False):
    """When a turn that was written began and ended (unix nanoseconds), and the tool calls that do not lie in it.

    ``earliest`` and ``lag`` are the state of the platform's clock that its timeline was made with. ``present`` are the stages that
    have a span.
    """

    start: int
    end: int
    tools_outside: list[ToolCall]
    earliest: int
    lag: int
    present: list[int]


def turn_ids(state: SpanState, key: TurnKey, *, per_turn: bool) -> TurnIds:
    """The ids of a turn's span. They follow from the session and the turn's key."""
    if per_turn:
        trace = turn_trace_id(state.trace, key)
        to_session = link_part(bytes.fromhex(state.trace), state.root_id)
        return TurnIds(trace_part(bytes.fromhex(trace)), turn_span(trace, key), b"", to_session)
    return TurnIds(state.trace_part, turn_span(state.trace, key), state.parent_part, b"")


def as_metrics(event: TurnCompleted) -> TurnMetrics:
    """The turn.completed as a turn.metrics."""
    return TurnMetrics(
        turn_number=event.turn_number,
        agent_first=event.agent_first,
        agent_tool_id=event.agent_tool_id,
        user_text=event.user_text,
        agent_text=event.agent_text,
        stt_delay_ms=_milliseconds(event.transcription_delay_s),
        turn_decision_ms=_milliseconds(event.turn_decision_s),
        llm_ttft_ms=_milliseconds(event.llm_ttft_s),
        tts_ttfb_ms=_milliseconds(event.tts_ttfb_s),
        realtime_ttft_ms=_milliseconds(event.realtime_ttft_s),
        user_started_speaking_at=event.user_started_speaking_at,
        user_stopped_speaking_at=event.user_stopped_speaking_at,
        agent_started_speaking_at=event.agent_started_speaking_at,
    )


class TurnSpans:
    """Writes the spans of turns."""

    def __init__(self, options: SpanOptions, emit: Emit) -> None:
        spec = inspect_event(TurnMetrics)
        self._emit = emit
        names: tuple[SpanName, ...] = (*(name for name, _ in STAGES), "turn")
        self._write_attributes = turn_attributes_writer([span_attributes(spec, name, options) for name in names], TurnMetrics, options)
        self._names = [SpanNameCache(name, kind, label_text(options)) for name, kind in STAGES]
        self._stage_constants = StageConstants(
            attributes=tuple(attributes(ON_SPAN, constants(name)) for name, _ in STAGES),
            with_session=tuple(kind == CLIENT for _, kind in STAGES),
            first_output=_FIRST_OUTPUT,
            succeeded=FLAGS,
            failed=FAILED + FLAGS,
        )
        self._messages = Messages(options.attribute_length) if options.capture else None
        self._error_type = TextAttributeCache(ON_SPAN, "error.type", options.attribute_length, label_text(options))
        turn_constants = attributes(ON_SPAN, constants("turn"))
        reason = attribute_key(END_REASON, proposals=options.proposals)
        self._turn_constants = {
            (estimated, ended): turn_constants
            + attribute(ON_SPAN, "agentstack.timeline", "estimated" if estimated else "platform")
            + (attribute(ON_SPAN, reason, ended) if ended else b"")
            for estimated in (False, True)
            for ended in ("", "completed", "interrupted")
        }

    def write(self, event: TurnMetrics, state: SpanState, ids: TurnIds, buffer: SpanBuffer | None, receipt: float) -> WrittenTurn:
        """Emit the turn's spans, with those of the buffered tool calls that lie in it."""
        clock = state.clock
        earliest, lag = clock.earliest, clock.lag
        times = lay_out(event, clock.window(state.started_at, receipt))
        failed = STAGE_OF_ERROR.get(event.error_source.lower(), -1) if event.error_source else -1
        written = self._attributes(event, failed, buffer)
        present = [stage for stage in range(TURN) if written[stage] or is_timed(event, stage)]
        start, end = times.envelope(present, clock.at(receipt))
        if not times.estimated and not clock.known:
            clock.learn(end, receipt)
        spans: list[bytes] = []
        tools_outside: list[ToolCall] = []
        if buffer and buffer.tools:
            earliest = start - _BEFORE_ESTIMATED if times.estimated else start
            for call in buffer.tools:
                if earliest <= call.start and call.end <= end:
                    start = min(start, call.start)  # an estimated turn begins with the first of them
                    spans.append(_tool_span(call, ids.trace, ids.span, state))
                else:
                    tools_outside.append(call)
        constant = self._turn_constants[times.estimated, _end_reason(event)]
        spans.append(_turn_span(event, state, ids, buffer, start_end_part(start, end) + state.identity + constant + written[TURN]))
        if self._messages is not None:
            self._messages.add(event, present, written)
        names = self._stage_names(event)
        stages = TurnStages(present, times.starts, times.ends, names, written, _first_output(event), failed, state.session_part)
        spans += stage_spans(ids.trace, ids.span, stages, self._stage_constants)
        self._emit(spans)
        return WrittenTurn(start, end, tools_outside, earliest, lag, present)

    def write_tool(self, call: ToolCall, state: SpanState) -> None:
        """Emit the span of a tool call that lies in no turn."""
        self._emit((_tool_span(call, state.trace_part, state.own_id, state),))

    def _attributes(self, event: TurnMetrics, failed: int, buffer: SpanBuffer | None) -> list[bytes]:
        """The attributes of each stage and, last, of the turn."""
        written = self._write_attributes(event)
        if buffer:
            for slot, more in buffer.attributes.items():
                written[slot // SLOTS] += more
        if failed >= 0 and event.error_source:
            written[failed] += self._error_type[event.error_source]
        return written

    def _stage_names(self, event: TurnMetrics) -> tuple[bytes, ...]:
        speech, stt, detection, chat, tts, agent, realtime = self._names
        return (
            speech[None], stt[event.stt_model], detection[None], chat[event.llm_model],
            tts[event.tts_model], agent[None], realtime[event.realtime_model],
        )  # fmt: skip


def _first_output(event: TurnMetrics) -> tuple[float | None, ...]:
    return (None, None, None, event.llm_ttft_ms, event.tts_ttfb_ms, None, event.realtime_ttft_ms)


def _end_reason(event: TurnMetrics) -> str:
    return "interrupted" if event.interrupted else "" if event.error_source else "completed"


def _turn_span(event: TurnMetrics, state: SpanState, ids: TurnIds, buffer: SpanBuffer | None, times_and_attributes: bytes) -> bytes:
    return b"".join((
        ids.trace, ids.span, ids.parent, state.turn_name, times_and_attributes,
        b"".join(buffer.events) + dropped_events_part(buffer.dropped) if buffer else b"",
        ids.link, FAILED if event.error_source else b"", FLAGS,
    ))  # fmt: skip


def _tool_span(call: ToolCall, trace: bytes, parent: bytes, state: SpanState) -> bytes:
    return b"".join((
        trace, child_span_id(parent, state.next_tool()), parent_part(parent), call.name, start_end_part(call.start, call.end),
        state.session_part, call.attributes, FAILED if call.failed else b"", FLAGS,
    ))  # fmt: skip


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000.0
