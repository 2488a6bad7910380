"""A turn → its spans: ``invoke_agent`` and, for each stage of which anything is known, a child.

One pass, from the event's fields to the bytes of OTLP; what each field becomes was compiled at start.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from exporter.catalogue.genai import END_REASON, attribute_key, constants
from exporter.catalogue.inspect import inspect_event
from exporter.catalogue.model import SpanName
from exporter.events.turn_metrics import TurnMetrics
from exporter.protocol.ids import TurnKey, child_span_id, turn_span, turn_trace_id
from exporter.sessions.clock import SECOND
from exporter.sessions.span_state import Collected, SpanState, ToolCall
from exporter.tracing.attribute_program import compile_spans
from exporter.tracing.attributes import Texts, span_attributes
from exporter.tracing.child_spans import child_spans
from exporter.tracing.encoder import (
    CLIENT,
    FAILED,
    FLAGS,
    INTERNAL,
    ON_SPAN,
    SpanKind,
    attribute,
    attributes,
    dropped_events,
    edges_part,
    event_name,
    link,
    name_part,
    parent_part,
    trace_part,
)
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.timeline import Timeline, is_timed, lay_out

Emit = Callable[[Sequence[bytes]], object]
"""Takes serialised spans that are complete at the same moment: those of a turn, or a single one."""

CHILDREN: Final[tuple[tuple[SpanName, SpanKind], ...]] = (
    ("user_speech", INTERNAL),
    ("speech_to_text", CLIENT),
    ("turn_detection", INTERNAL),
    ("chat", CLIENT),
    ("text_to_speech", CLIENT),
    ("agent_speech", INTERNAL),
    ("realtime_inference", CLIENT),
)
"""The children of a turn, in the order of :mod:`exporter.tracing.timeline`."""
TURN: Final = len(CHILDREN)
"""Stands for the turn itself where the others stand for children."""
SLOTS: Final = 64
"""How many slots of collected attributes each span has."""
COMPONENTS: Final = {
    "vad": 0, "stt": 1, "eou": 2, "turn_detection": 2, "llm": 3, "tts": 4, "realtime": 6, "realtime_model": 6, "s2s": 6,
}  # fmt: skip
"""What ``error_source`` names → the child that failed."""
_TAILS: Final = (FLAGS, FAILED + FLAGS)
_FIRST_TOKEN: Final = event_name("first_token")
_MARKS: Final = (b"", b"", b"", _FIRST_TOKEN, event_name("first_byte"), b"", _FIRST_TOKEN)
"""The event on each child that says when a model's output began."""
_BEFORE_ESTIMATED: Final = 120 * SECOND


class TurnIds(msgspec.Struct, frozen=True, gc=False):
    """Where a turn's span belongs: serialised trace and parent, its own id, and a link if its trace is not the session's."""

    trace: bytes
    span: bytes
    parent: bytes
    link: bytes


class Names(dict[str | None, bytes]):
    """Model → serialised name and kind of a span."""

    __slots__ = ("_kind", "_name")

    def __init__(self, name: str, kind: SpanKind) -> None:
        super().__init__()
        self._name = name
        self._kind: SpanKind = kind

    def __missing__(self, model: str | None) -> bytes:
        found = name_part(f"{self._name} {model[:128]}" if model else self._name, self._kind)
        if len(self) >= 256:
            self.clear()
        if model is None or len(model) <= 128:
            self[model] = found
        return found


def turn_ids(state: SpanState, key: TurnKey, *, per_turn: bool) -> TurnIds:
    """The ids of a turn's span, which follow from the session and the turn's key."""
    if per_turn:
        trace = turn_trace_id(state.trace, key)
        to_session = link(bytes.fromhex(state.trace), state.root_id)
        return TurnIds(trace_part(bytes.fromhex(trace)), turn_span(trace, key), b"", to_session)
    return TurnIds(state.trace_part, turn_span(state.trace, key), state.parent_part, b"")


class TurnSpans:
    """Writes turns."""

    def __init__(self, options: SpanOptions, emit: Emit) -> None:
        spec = inspect_event(TurnMetrics)
        self._emit = emit
        names: tuple[SpanName, ...] = (*(name for name, _ in CHILDREN), "turn")
        self._attributes = compile_spans([span_attributes(spec, name, options) for name in names], TurnMetrics, options)
        self._names = [Names(name, kind) for name, kind in CHILDREN]
        self._constants = tuple(attributes(ON_SPAN, constants(name, proposals=options.proposals)) for name, _ in CHILDREN)
        self._error_type = Texts(ON_SPAN, "error.type", options.attribute_length)
        of_turn = attributes(ON_SPAN, constants("turn", proposals=options.proposals))
        reason = attribute_key(END_REASON, proposals=options.proposals)
        self._of_turn = {
            (estimated, ended): of_turn
            + attribute(ON_SPAN, "agentstack.timeline", "estimated" if estimated else "platform")
            + (attribute(ON_SPAN, reason, ended) if ended else b"")
            for estimated in (False, True)
            for ended in ("", "completed", "interrupted")
        }

    def write(
        self, e: TurnMetrics, state: SpanState, ids: TurnIds, collected: Collected | None, receipt: float
    ) -> tuple[int, int, list[ToolCall]]:
        """Emit the turn's spans; returns when it began and ended, and the tool calls that do not lie in it."""
        times = lay_out(e, state.clock.window(state.began, receipt))
        failed = COMPONENTS.get(e.error_source.lower(), -1) if e.error_source else -1
        written = self._written(e, failed, collected)
        present = [child for child in range(TURN) if written[child] or is_timed(e, child)]
        start, end = times.envelope(present, state.clock.at(receipt))
        if not times.estimated and not state.clock.known:
            state.clock.note(end, receipt)
        left: list[ToolCall] = []
        spans: list[bytes] = []
        if collected and collected.tools:
            start, left, spans = self._tools(state, ids, collected.tools, (start, end, times.estimated))
        spans.append(self._turn(e, state, ids, (collected, times.estimated, edges_part(start, end), written[TURN])))
        spans += self._children_of(e, ids, times, (present, written, failed))
        self._emit(spans)
        return start, end, left

    def _tools(
        self, state: SpanState, ids: TurnIds, calls: list[ToolCall], edges: tuple[int, int, bool]
    ) -> tuple[int, list[ToolCall], list[bytes]]:
        """Write the calls that lie in the turn; an estimated turn begins with the first of them. Returns its start and the others."""
        start, end, estimated = edges
        first = start - _BEFORE_ESTIMATED if estimated else start
        left, spans = [], []
        for call in calls:
            if first <= call.start and call.end <= end:
                start = min(start, call.start)
                spans.append(_tool(call, ids.trace, ids.span, state.next_tool()))
            else:
                left.append(call)
        return start, left, spans

    def tool(self, call: ToolCall, trace: bytes, parent: bytes, number: int) -> None:
        """Emit the span of a tool call that lies in no turn."""
        self._emit((_tool(call, trace, parent, number),))

    def _written(self, e: TurnMetrics, failed: int, collected: Collected | None) -> list[bytes]:
        """The attributes of each child and, last, of the turn."""
        written = self._attributes(e)
        if collected:
            for slot, more in collected.attributes.items():
                written[slot // SLOTS] += more
        if failed >= 0 and e.error_source:
            written[failed] += self._error_type[e.error_source]
        return written

    def _turn(self, e: TurnMetrics, state: SpanState, ids: TurnIds, rest: tuple[Collected | None, bool, bytes, bytes]) -> bytes:
        collected, estimated, edges, written = rest
        ended = "interrupted" if e.interrupted else "" if e.error_source else "completed"
        return b"".join((
            ids.trace, ids.span, ids.parent, state.turn_name, edges,
            state.identity, self._of_turn[estimated, ended], written,
            b"".join(collected.events) + dropped_events(collected.dropped) if collected else b"",
            ids.link, FAILED if e.error_source else b"", FLAGS,
        ))  # fmt: skip

    def _children_of(self, e: TurnMetrics, ids: TurnIds, times: Timeline, rest: tuple[list[int], list[bytes], int]) -> list[bytes]:
        present, written, failed = rest
        speech, stt, detection, chat, tts, agent, realtime = self._names
        names = (
            speech[None], stt[e.stt_model], detection[None], chat[e.llm_model],
            tts[e.tts_model], agent[None], realtime[e.realtime_model],
        )  # fmt: skip
        marked = (None, None, None, e.llm_ttft_ms, e.tts_ttfb_ms, None, e.realtime_ttft_ms)
        return child_spans(
            (present, times.starts, times.ends, written, marked, failed),
            (names, self._constants, _MARKS, _TAILS),
            (ids.trace, ids.span, parent_part(ids.span)),
        )


def _tool(call: ToolCall, trace: bytes, parent: bytes, number: int) -> bytes:
    """The span of a tool call."""
    edges = edges_part(call.start, call.end)
    status = FAILED if call.failed else b""
    return b"".join((trace, child_span_id(parent, number), parent_part(parent), call.name, edges, call.attributes, status, FLAGS))
