"""Events of sessions → spans, handed over as bytes of OTLP the moment they are complete.

A turn is written when its turn.metrics come, or when it is clear that they will not; the session when it ends. What small events tell
waits for the turn they fall in. Nothing here asks for the time: receipt is always unix seconds, as an argument.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from exporter.catalogue.genai import AGENT, CONVERSATION
from exporter.catalogue.inspect import EventSpec
from exporter.events.audio_stream import Start
from exporter.events.session import SessionEnded, SessionError, SessionStarted
from exporter.events.tools import AgentToolCompleted, AgentToolFailed, AgentToolStarted, ToolCalled, ToolExecuted
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted, UserTranscription
from exporter.protocol.ids import TurnKey, TurnRef, root_span_id, turn_key, turn_trace_id
from exporter.sessions.app_state import LlmAnswer, ToolAnswer
from exporter.sessions.span_state import Collected, SpanState, Traced
from exporter.tracing.attributes import Texts
from exporter.tracing.chat_spans import ChatSpans
from exporter.tracing.encoder import INTERNAL, ON_SPAN, attribute, parent_part, trace_part
from exporter.tracing.parts import Part, session_part, slot_numbers, turn_part
from exporter.tracing.sampling import Sampler, SpanOptions, kept
from exporter.tracing.session_span import SessionSpan, note_end
from exporter.tracing.tool_spans import ToolSpans
from exporter.tracing.turn_spans import SLOTS, TURN, Emit, Names, TurnSpans, turn_ids

Step = Callable[[Any, Any, float], None]
"""Takes an event in: the session, the event, and when it was received (unix seconds)."""

_MARKS: Final = TURN * SLOTS + SLOTS - 1
"""The slot on the turn of what we say of it ourselves."""
_WITHOUT_METRICS: Final = attribute(ON_SPAN, "agentstack.turn.without_metrics", value=True)
_LATE: Final = attribute(ON_SPAN, "agentstack.turn.late", value=True)


class Spans:
    """All spans of one process. Each session holds its part in its ``spans``; ``emit`` takes every span that is to be exported."""

    def __init__(self, options: SpanOptions, specs: Iterable[EventSpec], emit: Emit) -> None:
        self._options = options
        self._sampler = Sampler(options.sampler, options.ratio)
        self._turns = TurnSpans(options, emit)
        self._session = SessionSpan(options, emit)
        self.tools = ToolSpans(options)
        self._chats = ChatSpans(options)
        self._turn_names = Names("invoke_agent", INTERNAL)
        self._conversations = Texts(ON_SPAN, CONVERSATION, options.attribute_length)
        self._agents = Texts(ON_SPAN, AGENT, options.attribute_length)
        self.steps: dict[type, Step] = dict(self._steps(tuple(specs)))
        """What is done with an event type; types that are not in it bring nothing to any span."""

    def reference(self, session: Traced, event: TurnMetrics) -> TurnRef | None:
        """What an exemplar of this turn points at; ``None`` if the turn is not exported or has no number."""
        key = _key(event)
        if key is None or not self._decide(session, event, key):
            return None
        if session.spans is not None and session.spans.is_late(key):
            key = _late_key(key)
        return TurnRef(turn_trace_id(session.trace_id, key) if self._options.per_turn else session.trace_id, key)

    def without_metrics(self, session: Traced, event: TurnCompleted, receipt: float) -> None:
        """Write a turn whose turn.metrics did not come, from its turn.completed."""
        state = self._state(session)
        key = _key(event)
        if key is not None:
            state.stand_in(key)
        self._write(session, state, as_metrics(event), (key, _WITHOUT_METRICS), receipt)

    def answered(self, session: Traced, answer: ToolAnswer | LlmAnswer, receipt: float) -> None:
        """The customer's app answered a tool call or, being the LLM, the caller."""
        state = self._state(session)
        if not state.collects or state.done:
            return
        at = state.clock.at
        if isinstance(answer, ToolAnswer):
            self.tools.answered(state, answer.id, at(receipt), failed=answer.failed)
        else:
            edges = (at(answer.asked), at(answer.last))
            self.tools.lost += not self._chats.answered(state, edges, at(answer.first), abandoned=answer.abandoned)

    def finish(self, session: Traced, reason: str, receipt: float) -> None:
        """The session is over: write its span, once. ``reason`` is ours, where session.ended gave none."""
        state = self._state(session)
        if state.done:
            return
        state.done = True
        root = state.for_root()
        for left in (*(state.waiting or {}).values(), *filter(None, [state.open])):
            self.tools.lost += root.take_over(left)
        state.waiting = state.open = None
        state.root = None
        end = state.clock.at(min(session.last_event_at, receipt))
        if state.sampled or state.kept:
            self._root(state, root, reason, end)
        elif state.collects:
            state.unwritten = (root, reason, end)

    def _root(self, state: SpanState, root: Collected, reason: str, end: int) -> None:
        for call in (*root.tools, *self.tools.unfinished(state, end)):
            state.cover(call.start, call.end)
            self._turns.tool(call, state.trace_part, state.root_id, state.next_tool())
        self._session.write(state, root, reason, end)

    def _turn(self, session: Traced, event: TurnMetrics, receipt: float) -> None:
        if event.agent_first and event.user_perceived_ms is not None:
            event = msgspec.structs.replace(event, user_perceived_ms=None)  # nobody waited for a greeting
        state = self._state(session)
        key = _key(event)
        self._write(session, state, event, (key, _LATE if state.is_late(key) else b""), receipt)

    def _decide(self, session: Traced, event: TurnMetrics, key: TurnKey | None) -> bool:
        if self._sampler.always:
            return True
        trace = turn_trace_id(session.trace_id, key) if self._options.per_turn and key else session.trace_id
        return self._sampler.samples(trace) or kept(self._options, event)

    def _write(
        self, session: Traced, state: SpanState, event: TurnMetrics, named: tuple[TurnKey | None, bytes], receipt: float
    ) -> None:
        key, mark = named
        exported = self._decide(session, event, key)
        if key is None:
            state.unnumbered += 1
            key = ("unnumbered", state.unnumbered)
        collected = state.take(key)
        if not exported:
            return
        if mark:
            collected = collected or Collected()
            collected.attributes[_MARKS] = mark
            if mark == _LATE:
                key = _late_key(key)
        ids = turn_ids(state, key, per_turn=self._options.per_turn)
        start, end, left = self._turns.write(event, state, ids, collected, receipt)
        state.kept = True
        state.cover(start, end)
        for call in left:
            if state.done:
                self._turns.tool(call, state.trace_part, state.root_id, state.next_tool())
            else:
                self.tools.lost += not state.for_root().tool(call)
        if state.unwritten is not None:
            unwritten, state.unwritten = state.unwritten, None
            self._root(state, *unwritten)

    def _completed(self, part: Part) -> Step:
        def take(session: Traced, event: TurnCompleted, receipt: float) -> None:
            key = _key(event)
            state = self._state(session)
            if not state.collects or (session.turns and key in session.turns):
                return
            part.collect(state.for_turn(), event, state.clock.at(receipt))
            left = state.wait(key) if key is not None else None
            if left is not None:
                self.tools.lost += state.for_root().take_over(left)

        return take

    def _ended(self, session: Traced, event: SessionEnded, receipt: float) -> None:
        note_end(self._state(session), event, receipt)

    def _failed(self, session: Traced, _: SessionError, __: float) -> None:
        self._state(session).failed = True

    def _called(self, session: Traced, event: ToolCalled, receipt: float) -> None:
        state = session.spans or self._state(session)
        if state.collects:
            take = self.tools.called if session.app is None else self.tools.awaited
            take(state, event, state.clock.at(receipt))

    def _tool(self, take: Callable[[SpanState, Any, int], None]) -> Step:
        def step(session: Traced, event: Any, receipt: float) -> None:
            state = session.spans or self._state(session)
            if state.collects:
                take(state, event, state.clock.stamped(getattr(event, "timestamp", None), receipt))

        return step

    def _steps(self, specs: tuple[EventSpec, ...]) -> Iterable[tuple[type, Step]]:
        numbers = slot_numbers(specs)
        special: dict[type, Step] = {
            SessionEnded: self._ended,
            SessionError: self._failed,
            ToolCalled: self._called,
            ToolExecuted: self._tool(self.tools.executed),
            AgentToolStarted: self._tool(self.tools.agent_started),
            AgentToolCompleted: self._tool(self.tools.agent_ended),
            AgentToolFailed: self._tool(self.tools.agent_ended),
        }
        for spec in specs:
            of_turn = turn_part(spec, numbers[spec.type], self._options)
            of_session = session_part(spec, numbers[spec.type], self._options)
            if spec.type is TurnMetrics:
                yield spec.type, self._turn
            elif spec.type is TurnCompleted:
                yield spec.type, self._completed(of_turn or Part((), None))
            elif of_turn or of_session or spec.type in special:
                yield spec.type, self._collector(spec, of_turn, of_session, special.get(spec.type))

    def _collector(self, spec: EventSpec, of_turn: Part | None, of_session: Part | None, then: Step | None) -> Step:
        stamped = any(field.name == "timestamp" for field in spec.fields)
        finals_only = spec.type is UserTranscription
        names = spec.type in (SessionStarted, Start)

        def collect(session: Traced, event: Any, receipt: float) -> None:
            state = self._state(session) if names else session.spans or self._state(session)
            if not state.collects or (finals_only and event.is_final is False):
                return
            clock = state.clock
            at = clock.stamped(event.timestamp, receipt) if stamped else clock.at(receipt)
            if of_turn is not None:
                of_turn.collect(state.open or state.for_turn(), event, at)
            if of_session is not None:
                of_session.collect(state.root or state.for_root(), event, at)
            if then is not None:
                then(session, event, receipt)

        return collect

    def _state(self, session: Traced) -> SpanState:
        """The session's state, made or renewed where it must be."""
        state = session.spans
        if state is None:
            state = session.spans = SpanState()
        if state.id != session.id or state.agent != session.agent:
            if state.kept and state.id != session.id:
                self._leave(state)
            self._name(state, session)
        return state

    def _leave(self, state: SpanState) -> None:
        """Turns were written before the session had its name: their trace, which nothing is added to from here on, gets its root."""
        self._session.write(state, state.for_root(), "renamed", state.span_end)
        state.kept, state.root = False, None
        state.span_start = state.span_end = 0

    def _name(self, state: SpanState, session: Traced) -> None:
        state.id, state.agent, state.trace = session.id, session.agent, session.trace_id
        state.began = session.started_at
        state.root_id = bytes.fromhex(root_span_id(session.id))
        state.trace_part = trace_part(bytes.fromhex(session.trace_id))
        state.parent_part = parent_part(state.root_id)
        state.turn_name = self._turn_names[session.agent]
        conversation = b"" if session.has_generated_id else self._conversations[session.id]
        state.identity = conversation + (self._agents[session.agent] if session.agent else b"")
        state.sampled = self._sampler.samples(session.trace_id)
        state.continued = session.continued if state.sampled else 0  # else there may be no root to hang it under
        state.collects = state.sampled or self._options.keeps_some or self._options.per_turn


def as_metrics(event: TurnCompleted) -> TurnMetrics:
    """What turn.completed says, in the words of turn.metrics."""
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


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000.0


def _key(event: TurnMetrics | TurnCompleted) -> TurnKey | None:
    return None if event.turn_number is None else turn_key(event.agent_tool_id, event.turn_number)


def _late_key(key: TurnKey) -> TurnKey:
    """The key of a turn whose metrics came when it was written already: that span cannot be taken back."""
    return (f"late:{key[0]}", key[1])
