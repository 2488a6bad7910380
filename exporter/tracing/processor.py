"""Events of sessions → spans, handed over as OTLP bytes the moment they are complete.

A turn is written when its turn.metrics come, or when it is clear that they will not come; a session when it is over. What small events
contribute is buffered for the turn they fall in. Nothing here reads a clock: receipt is an argument, always unix seconds.
"""

from collections.abc import Callable, Collection
from typing import Final, Literal, TypeVar

import msgspec

from exporter.catalogue.genai import AGENT, AGENT_NAME, CONVERSATION
from exporter.catalogue.inspect import EventSpec
from exporter.events.audio_stream import Start
from exporter.events.base import Stamped
from exporter.events.session import SessionEnded, SessionError, SessionStarted
from exporter.events.tools import AgentToolCompleted, AgentToolFailed, AgentToolStarted, ToolCalled, ToolExecuted
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted, UserTranscription
from exporter.protobuf import attribute
from exporter.protocol.field_getter import field_getter
from exporter.protocol.ids import TurnKey, TurnRef, continued_span_id, further_key, root_span_id, turn_key, turn_trace_id
from exporter.sessions.app_state import LlmAnswer, ToolAnswer
from exporter.sessions.span_state import SpanBuffer, SpanState, ToolCall, TracedSession, UnwrittenRoot
from exporter.tracing.attributes import TextAttributeCache
from exporter.tracing.chat_spans import ChatSpans
from exporter.tracing.encoder import INTERNAL, ON_SPAN, SpanNameCache, parent_part, trace_part
from exporter.tracing.sampling import Sampler, SpanOptions, is_kept
from exporter.tracing.session_span import SessionSpan, note_end
from exporter.tracing.span_contributions import Contribution, session_contribution, slot_numbers, turn_contribution
from exporter.tracing.span_handlers import Emit, SpanHandler, SpanHandlers
from exporter.tracing.tool_spans import ToolSpans
from exporter.tracing.turn_spans import SLOTS, TURN, TurnSpans, as_metrics, turn_ids

ToolEvent = TypeVar("ToolEvent", bound=msgspec.Struct)

_MARKS: Final = TURN * SLOTS + SLOTS - 1
"""The slot of the turn's span for the marks below."""
_WITHOUT_METRICS: Final = attribute(ON_SPAN, "agentstack.turn.without_metrics", value=True)
_key_of = field_getter(TurnMetrics, "agent_tool_id", "turn_number")
_LATE: Final = attribute(ON_SPAN, "agentstack.turn.late", value=True)


class SpanProcessor:
    """Writes the spans of one process, and passes those that are exported to ``emit``. Each session keeps its state in ``spans``."""

    def __init__(self, options: SpanOptions, specs: Collection[EventSpec], emit: Emit) -> None:
        self._options = options
        self._sampler = Sampler(options.sampler, options.ratio, options.decide)
        self._exports_all = self._sampler.always
        self._per_turn = options.per_turn
        self._turns = TurnSpans(options, emit)
        self._session = SessionSpan(options, emit)
        self.tools = ToolSpans(options)
        self._chats = ChatSpans()
        self._turn_names = SpanNameCache("invoke_agent", INTERNAL)
        self._conversations = TextAttributeCache(ON_SPAN, CONVERSATION, options.attribute_length)
        self._agents = TextAttributeCache(ON_SPAN, AGENT, options.attribute_length)
        self._agent_names = TextAttributeCache(ON_SPAN, AGENT_NAME, options.attribute_length)
        self.handlers = SpanHandlers()
        self._add_handlers(specs)

    def reference(self, session: TracedSession, event: TurnMetrics) -> TurnRef | None:
        """The span that an exemplar of this turn points at; ``None`` if the turn is not exported or has no number."""
        key = _key(event)
        if key is None or not self._is_exported(session, event, key):
            return None
        state = session.spans or self._state(session)
        key = _span_key(state, session, key, "late" if state.is_late(key) else None)
        return TurnRef(turn_trace_id(session.trace_id, key) if self._per_turn else session.trace_id, key)

    def without_metrics(self, session: TracedSession, event: TurnCompleted, receipt: float) -> None:
        """Write a turn whose turn.metrics did not come, from its turn.completed."""
        state = self._state(session)
        key = _completed_key(event)
        if key is not None:
            state.note_without_metrics(key)
        self._write(session, as_metrics(event), key, _WITHOUT_METRICS, receipt)

    def app_answered(self, session: TracedSession, answer: ToolAnswer | LlmAnswer, receipt: float) -> None:
        """Add what the customer's app did: it answered a tool call or, as the LLM, the caller."""
        state = self._state(session)
        if not state.collects or state.finished:
            return
        clock = state.clock
        if isinstance(answer, ToolAnswer):
            self.tools.call_answered(state, answer.id, clock.at(receipt), failed=answer.failed)
        else:
            start, first_token, end = clock.at(answer.asked), clock.at(answer.first), clock.at(answer.last)
            added = self._chats.add(state, start=start, first_token=first_token, end=end, abandoned=answer.abandoned)
            self.tools.dropped += not added

    def finish(self, session: TracedSession, reason: str, receipt: float) -> None:
        """The session is over: write its span, once. ``reason`` is used if session.ended gave none."""
        state = self._state(session)
        if state.finished:
            return
        state.finished = True
        root = state.for_root()
        for left in (*(state.waiting_turns or {}).values(), *filter(None, [state.turn_buffer])):
            self.tools.dropped += root.merge(left)
        state.waiting_turns = state.turn_buffer = None
        state.root_buffer = None
        unwritten = UnwrittenRoot(root, reason, state.clock.at(min(session.last_event_at, receipt)))
        if state.sampled or state.kept:
            self._write_root(state, unwritten)
        elif state.collects:
            state.unwritten_root = unwritten

    def _write_root(self, state: SpanState, root: UnwrittenRoot) -> None:
        for call in (*root.buffer.tools, *self.tools.unfinished(state, root.end)):
            state.extend(call.start, call.end)
            self._turns.write_tool(call, state)
        self._session.write(state, root.buffer, root.reason, root.end)

    def _turn_metrics(self, session: TracedSession, event: TurnMetrics, receipt: float) -> None:
        if event.agent_first and event.user_perceived_ms is not None:
            event = msgspec.structs.replace(event, user_perceived_ms=None)  # nobody waits for a greeting
        key = _key(event)
        self._write(session, event, key, _LATE if self._state(session).is_late(key) else b"", receipt)

    def _is_exported(self, session: TracedSession, event: TurnMetrics, key: TurnKey | None) -> bool:
        if self._exports_all:
            return True
        trace = turn_trace_id(session.trace_id, key) if self._per_turn and key else session.trace_id
        return self._sampler.samples(trace) or is_kept(self._options, event)

    def _write(self, session: TracedSession, event: TurnMetrics, key: TurnKey | None, mark: bytes, receipt: float) -> None:
        """Write a turn, with ``mark`` as a further attribute, and add to the session's span what it leaves."""
        state = session.spans or self._state(session)
        exported = self._is_exported(session, event, key)
        buffer = state.pop_buffer(key)
        turn, key = key, _span_key(state, session, key, "late" if mark is _LATE else None)
        if turn is None:
            state.unnumbered += 1
        state.note_turn(turn or key)
        state.turn_length = 0
        if not exported:
            return
        if mark:
            buffer = buffer or SpanBuffer()
            buffer.attributes[_MARKS] = mark
        written = self._turns.write(event, state, turn_ids(state, key, self._per_turn), buffer, receipt)
        if session.journal is not None:
            session.journal.written = written
        state.kept = True
        state.turn_length = written.end - written.start
        state.extend(written.start, written.end)
        for call in written.tools_outside:
            if state.finished:
                self._turns.write_tool(call, state)
            else:
                self.tools.dropped += not _buffer_for(call, written.end, state).add_tool(call)
        if state.unwritten_root is not None:
            root, state.unwritten_root = state.unwritten_root, None
            self._write_root(state, root)

    def _turn_completed(self, contribution: Contribution) -> SpanHandler[TurnCompleted]:
        def handle(session: TracedSession, event: TurnCompleted, receipt: float) -> None:
            key = _completed_key(event)
            state = self._state(session)
            if not state.collects or (session.turns and key in session.turns):
                return
            contribution.add_to(state.for_turn(), event, state.clock.at(receipt))
            evicted = state.complete_turn(key) if key is not None else None
            if evicted is not None:
                self.tools.dropped += state.for_root().merge(evicted)

        return handle

    def _session_ended(self, session: TracedSession, event: SessionEnded, receipt: float) -> None:
        note_end(self._state(session), event, receipt)

    def _session_error(self, session: TracedSession, _: SessionError, __: float) -> None:
        self._state(session).failed = True

    def _tool_called(self, session: TracedSession, event: ToolCalled, receipt: float) -> None:
        state = session.spans or self._state(session)
        if state.collects:
            add = self.tools.called if session.app is None else self.tools.call_opened
            add(state, event, state.clock.at(receipt))

    def _tool(self, add: Callable[[SpanState, ToolEvent, int], None]) -> SpanHandler[ToolEvent]:
        def handle(session: TracedSession, event: ToolEvent, receipt: float) -> None:
            state = session.spans or self._state(session)
            if state.collects:
                clock = state.clock
                add(state, event, clock.event_time(event.timestamp, receipt) if isinstance(event, Stamped) else clock.at(receipt))

        return handle

    def _add_handlers(self, specs: Collection[EventSpec]) -> None:
        special, numbers = self._special_handlers(), slot_numbers(specs)
        for spec in specs:
            to_turn = turn_contribution(spec, numbers[spec.type], self._options)
            to_session = session_contribution(spec, numbers[spec.type], self._options)
            if spec.type is TurnMetrics:
                self.handlers.add(TurnMetrics, self._turn_metrics)
            elif spec.type is TurnCompleted:
                self.handlers.add(TurnCompleted, self._turn_completed(to_turn or Contribution()))
            else:
                self._add_collector(spec.type, to_turn, to_session, special.get(spec.type))

    def _add_collector(
        self,
        kind: type[msgspec.Struct],
        to_turn: Contribution | None,
        to_session: Contribution | None,
        then: SpanHandler[msgspec.Struct] | None,
    ) -> None:
        collect = _Collector(self._state, to_turn, to_session, then, renames=kind in (SessionStarted, Start)).collect
        if kind is UserTranscription:
            self.handlers.add(UserTranscription, _finals_only(collect))
        elif to_turn or to_session or then:
            self.handlers.add(kind, collect)

    def _special_handlers(self) -> SpanHandlers:
        """What is done with some event types beside collecting what they contribute."""
        special = SpanHandlers()
        special.add(SessionEnded, self._session_ended)
        special.add(SessionError, self._session_error)
        special.add(ToolCalled, self._tool_called)
        special.add(ToolExecuted, self._tool(self.tools.executed))
        special.add(AgentToolStarted, self._tool(self.tools.agent_started))
        special.add(AgentToolCompleted, self._tool(self.tools.agent_ended))
        special.add(AgentToolFailed, self._tool(self.tools.agent_ended))
        return special

    def _state(self, session: TracedSession) -> SpanState:
        """The session's state; made if there is none, and renamed if the session was."""
        state = session.spans
        if state is None:
            state = session.spans = SpanState()
            for key, stood_in in (session.turns or {}).items():
                state.note_turn(key)
                if stood_in is not None:
                    state.note_without_metrics(key)
        if state.id != session.id or state.agent != session.agent:
            if state.kept and state.id != session.id and not state.finished:
                self._close_trace(state)
            self._name(state, session)
        return state

    def _close_trace(self, state: SpanState) -> None:
        """Write the root of a trace that nothing is added to any more: its turns came before the session had its name."""
        self._session.write(state, state.for_root(), "renamed", state.span_end)
        state.kept, state.root_buffer = False, None
        state.span_start = state.span_end = 0

    def _name(self, state: SpanState, session: TracedSession) -> None:
        state.id, state.agent, state.trace = session.id, session.agent, session.trace_id
        state.started_at = session.started_at
        state.root_id = state.own_id = bytes.fromhex(root_span_id(session.id))
        state.sampled = self._sampler.samples(session.trace_id)
        state.continued = session.continued
        if state.continued:
            state.own_id = continued_span_id(state.root_id, state.continued)
            state.root_id = state.root_id if state.sampled else state.own_id  # without sampling there may be no root to be a child of
        state.trace_part = trace_part(bytes.fromhex(session.trace_id))
        state.parent_part = parent_part(state.root_id)
        state.turn_name = self._turn_names[session.agent]
        conversation = b"" if session.has_generated_id else self._conversations[session.id]
        state.session_part = conversation + (self._agent_names[session.agent] if session.agent else b"")
        state.identity = state.session_part + (self._agents[session.agent] if session.agent else b"")
        state.collects = state.sampled or self._options.keeps_some or self._options.per_turn


class _Collector:
    """Collects what an event contributes to its turn and its session, and passes it on.

    ``renames``: it can name the session. ``state_of`` returns a session's state, which it makes or renames if needed.
    """

    __slots__ = ("_renames", "_state_of", "_then", "_to_session", "_to_turn")

    def __init__(
        self,
        state_of: Callable[[TracedSession], SpanState],
        to_turn: Contribution | None,
        to_session: Contribution | None,
        then: SpanHandler[msgspec.Struct] | None,
        *,
        renames: bool,
    ) -> None:
        self._state_of = state_of
        self._to_turn = to_turn
        self._to_session = to_session
        self._then = then
        self._renames = renames

    def collect(self, session: TracedSession, event: msgspec.Struct, receipt: float) -> None:
        """Collect what ``event`` contributes."""
        state = session.spans
        if state is None or self._renames:
            state = self._state_of(session)
        if not state.collects:
            return
        clock = state.clock
        at = clock.event_time(event.timestamp, receipt) if isinstance(event, Stamped) else clock.at(receipt)
        if self._to_turn is not None:
            self._to_turn.add_to(state.turn_buffer or state.for_turn(), event, at)
        if self._to_session is not None:
            self._to_session.add_to(state.root_buffer or state.for_root(), event, at)
        if self._then is not None:
            self._then(session, event, receipt)


def _buffer_for(call: ToolCall, turn_end: int, state: SpanState) -> SpanBuffer:
    """Where a call goes that lies outside the turn whose buffer had it: to a later turn if it is younger, else to the session."""
    return state.for_turn() if call.start > turn_end else state.for_root()


def _finals_only(collect: SpanHandler[msgspec.Struct]) -> SpanHandler[UserTranscription]:
    """Passes on final transcriptions; a partial one contributes nothing."""

    def handle(session: TracedSession, event: UserTranscription, receipt: float) -> None:
        if event.is_final is not False:
            collect(session, event, receipt)

    return handle


def _key(event: TurnMetrics) -> TurnKey | None:
    agent_tool, number = _key_of(event)
    return None if number is None else turn_key(agent_tool, number)


def _completed_key(event: TurnCompleted) -> TurnKey | None:
    return None if event.turn_number is None else turn_key(event.agent_tool_id, event.turn_number)


def _span_key(state: SpanState, session: TracedSession, key: TurnKey | None, late: Literal["late"] | None) -> TurnKey:
    """The key that gives a turn's next span its id: no earlier span of the session, or of another one with its id, has it.

    A span cannot be replaced. So a turn whose metrics come after it was written without them has two.
    """
    if key is None or state.may_repeat(key):
        count = state.unnumbered if key is None else state.turn_count
        at = str(int(session.last_event_at * 1e6))  # a process that the session is handed to counts anew
        return further_key((at, count), "unnumbered" if key is None else "repeated", session.continued)
    return further_key(key, late, session.continued)
