"""The core with journals, and /live's view of it."""

from collections.abc import Sequence
from typing import Any

import msgspec
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporter.exporters.live.call_lines import call_lines
from exporter.exporters.live.call_page import call_page
from exporter.exporters.live.channel import Channel
from exporter.exporters.live.messages import Call, CallDetail, Change, LiveConfig, Objective, State
from exporter.exporters.live.state import LiveState, Sources, call_channel, update_call
from exporter.metrics.label_limits import LabelLimits
from exporter.pipeline.pipeline import Journals, Pipeline, Tracing
from exporter.sessions.call_journal import CallJournal
from exporter.sessions.kept_calls import MOST_ENDED, KeptCalls
from exporter.sessions.registry import SessionTimeouts
from exporter.sessions.turn_notes import TurnNotes
from exporter.tracing.sampling import SpanOptions
from tests.support.core import Core

MEMORY = 32 * 1024 * 1024


class LiveCore(Core):
    """A core whose calls are kept for /live, with its spans if it is ``traced``."""

    def __init__(
        self,
        *,
        memory: int = MEMORY,
        traced: bool = True,
        content: bool = False,
        options: SpanOptions | None = None,
        exponential: bool = False,
    ) -> None:
        super().__init__()
        self.raw: list[bytes] = []
        self.kept_calls = KeptCalls(memory)
        journals = Journals(self.kept_calls, TurnNotes(), content=content)
        tracing = Tracing(options or SpanOptions(), self.take) if traced else None
        self.pipeline = Pipeline(
            LabelLimits(), SessionTimeouts(), self, self.now, exponential=exponential, tracing=tracing, journals=journals
        )
        config = LiveConfig(
            version="0", slow_turn=1.5, dead_air=3.0, objective=Objective(), content=content, most_ended=MOST_ENDED, memory=memory
        )
        pipeline = self.pipeline
        sources = Sources(self.kept_calls, journals.notes, pipeline.store, pipeline.sessions, pipeline.trackers.turn_taking)
        self.state = LiveState(sources, config, "boot")
        self.channel = self.state.list_channel(lambda: self.now)

    def take(self, spans: Sequence[bytes]) -> None:
        """Keep the spans that are emitted."""
        self.raw += spans

    @property
    def spans(self) -> list[Span]:
        """The spans that were emitted."""
        return [Span.FromString(raw) for raw in self.raw]

    def update(self) -> Channel:
        """The list's channel, as of now."""
        for _ in self.state.update_list(self.channel, self.now, 1):
            pass
        return self.channel

    def full(self) -> State:
        """What a new viewer of the list gets."""
        return msgspec.json.decode(self.update().state(), type=State)

    def change_since(self, number: int) -> Change:
        """What a viewer gets that has seen the message with this number."""
        return msgspec.json.decode(self.update().change_since(number), type=Change)

    def row(self, session: str = "as-1") -> Call:
        """The row of a session's call."""
        [found] = [call for call in self.full().calls if call.session == session]
        return found

    def journal(self, session: str = "as-1") -> CallJournal:
        """The journal of a session's call."""
        found = self.kept_calls.find(self.row(session).id)
        assert found is not None
        return found

    def detail(self, session: str = "as-1") -> CallDetail:
        """What a viewer of the call gets."""
        journal = self.journal(session)
        channel = call_channel(lambda: self.now)
        for _ in update_call(self.state, channel, self.state.reader(journal), journal, self.now):
            pass
        return msgspec.json.decode(channel.state(), type=CallDetail)

    def lines(self, session: str = "as-1") -> list[dict[str, Any]]:
        """The call as JSON lines."""
        content = self.state.config.content
        return [msgspec.json.decode(line) for line in call_lines(self.journal(session), content=content)]

    def page(self, session: str = "as-1") -> str:
        """The call as an HTML file."""
        return "".join(call_page(self.detail(session), self.state.config))
