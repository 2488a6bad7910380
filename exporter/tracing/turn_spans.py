"""A turn → its spans: ``invoke_agent``, and below it one span for each stage of which anything is known.

One pass goes from the event's fields to OTLP bytes; what each field becomes is compiled at start.
"""

from typing import Final

import msgspec

from exporter.catalogue.declarations import SpanName
from exporter.catalogue.genai import END_REASON, attribute_key, constants
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.protobuf import attribute, attributes
from exporter.protocol.ids import TurnKey, child_span_id, turn_span, turn_trace_id
from exporter.sessions.clock import SECOND
from exporter.sessions.span_state import SpanBuffer, SpanState, ToolCall
from exporter.tracing.attributes import TextAttributeCache, label_text
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
from exporter.tracing.turn_encoder import Additions, StageConstants, TurnConstants, TurnIds, turn_encoder

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
_FIRST_OUTPUT: Final[dict[SpanName, tuple[str, bytes]]] = {
    "chat": ("llm_ttft_ms", _FIRST_TOKEN),
    "text_to_speech": ("tts_ttfb_ms", event_name("first_byte")),
    "realtime_inference": ("realtime_ttft_ms", _FIRST_TOKEN),
}
"""By stage, when its model's first output came, and the event that marks it."""
_MODELS: Final[dict[SpanName, str]] = {
    "speech_to_text": "stt_model",
    "chat": "llm_model",
    "text_to_speech": "tts_model",
    "realtime_inference": "realtime_model",
}
"""By stage, the model that its span is named after."""
_BEFORE_ESTIMATED: Final = 120 * SECOND
_NOTHING: Final = Additions()


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


def turn_ids(state: SpanState, key: TurnKey, per_turn: bool) -> TurnIds:
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
        self._emit = emit
        self._encoder = turn_encoder(options, turn_constants(options))
        self._messages = Messages(options.attribute_length) if options.capture else None
        self._error_type = TextAttributeCache(ON_SPAN, "error.type", options.attribute_length, label_text(options))

    def write(self, event: TurnMetrics, state: SpanState, ids: TurnIds, buffer: SpanBuffer | None, receipt: float) -> WrittenTurn:
        """Emit the turn's spans, with those of the buffered tool calls that lie in it."""
        clock, turn = state.clock, self._encoder
        earliest, lag = clock.earliest, clock.lag
        added = self._added(event.error_source, buffer)
        turn.begin(event, clock.window(state.started_at, receipt), clock.at(receipt), added)
        start, end, present = turn.start, turn.end, turn.present
        if not turn.estimated and not clock.known:
            clock.learn(end, receipt)
        tools: list[bytes] = []
        tools_outside: list[ToolCall] = []
        if buffer and buffer.tools:
            since = start - _BEFORE_ESTIMATED if turn.estimated else start
            for call in buffer.tools:
                if since <= call.start and call.end <= end:
                    start = min(start, call.start)  # an estimated turn begins with the first of them
                    tools.append(_tool_span(call, ids.trace, ids.span, state))
                else:
                    tools_outside.append(call)
        if self._messages is not None:
            added.attributes = added.attributes or [b""] * (TURN + 1)
            self._messages.add(event, present, added.attributes)
        spans = turn.finish(ids, state, start, added)
        self._emit([*tools, *spans] if tools else spans)
        return WrittenTurn(start, end, tools_outside, earliest, lag, present)

    def write_tool(self, call: ToolCall, state: SpanState) -> None:
        """Emit the span of a tool call that lies in no turn."""
        self._emit((_tool_span(call, state.trace_part, state.own_id, state),))

    def _added(self, source: str | None, buffer: SpanBuffer | None) -> Additions:
        """What the turn's other events add, and that ``source`` failed."""
        failed = STAGE_OF_ERROR.get(source.lower(), -1) if source else -1
        if failed < 0 and not buffer:
            return _NOTHING if self._messages is None else Additions()
        more = [b""] * (TURN + 1)
        events = b""
        if buffer:
            for slot, attributes in buffer.attributes.items():
                more[slot // SLOTS] += attributes
            events = b"".join(buffer.events) + dropped_events_part(buffer.dropped)
        if failed >= 0 and source:
            more[failed] += self._error_type[source]
        return Additions(more, events, failed)


def turn_constants(options: SpanOptions) -> TurnConstants:
    """What is the same in every turn."""
    stages = []
    for name, kind in STAGES:
        first_output, mark = _FIRST_OUTPUT.get(name, (None, b""))
        cache = SpanNameCache(name, kind, label_text(options))
        always = attributes(ON_SPAN, constants(name))
        stages.append(StageConstants(name, cache, _MODELS.get(name), always, kind == CLIENT, first_output, mark))
    return TurnConstants(tuple(stages), _of_turn("platform", options), _of_turn("estimated", options))


def _of_turn(timeline: str, options: SpanOptions) -> tuple[bytes, bytes, bytes]:
    always = attributes(ON_SPAN, constants("turn")) + attribute(ON_SPAN, "agentstack.timeline", timeline)
    reason = attribute_key(END_REASON, proposals=options.proposals)
    return always, always + attribute(ON_SPAN, reason, "completed"), always + attribute(ON_SPAN, reason, "interrupted")


def _tool_span(call: ToolCall, trace: bytes, parent: bytes, state: SpanState) -> bytes:
    return b"".join((
        trace, child_span_id(parent, state.next_tool()), parent_part(parent), call.name, start_end_part(call.start, call.end),
        state.session_part, call.attributes, FAILED if call.failed else b"", FLAGS,
    ))  # fmt: skip


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000.0
