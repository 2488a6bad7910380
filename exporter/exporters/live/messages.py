"""What ``/api/v1`` answers and streams, as types. ``docs/live-api.schema.json`` is generated from them.

Times are unix seconds, durations are seconds. All text comes from the wire and is not escaped: a page shows it as text. A field that is
``null`` is unknown or does not apply.
"""

from typing import Annotated, Any, Literal

import msgspec

from exporter.catalogue.operator_metrics import TurnComponent

Activity = Literal["listening", "deciding", "thinking", "speaking", "tool", "unknown"]
"""What happens in a call. ``deciding``: the caller is silent and may have finished. ``tool``: a tool or sub-agent runs meanwhile."""
AnsweredBy = Literal["human", "machine", "unknown"]
StageName = Literal[
    "user_speech", "speech_to_text", "turn_detection", "chat", "text_to_speech", "agent_speech", "realtime_inference", "response"
]
"""The names of the spans; ``response`` is the time in which an open turn waits for the agent, before its stages are known."""
TurnState = Literal["open", "completed", "counted", "without_metrics"]
MarkKind = Literal["interruption", "false_interruption", "backchannel", "dead_air", "error", "dtmf", "handoff", "transfer", "voicemail"]
ProblemKind = Literal["frame_rejected", "value_refused", "unknown_field", "unknown_event", "connection_refused"]


def _about(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all messages."""


class Call(Message, frozen=True, kw_only=True):
    """A call in the list, live or ended."""

    id: Annotated[str, _about("Names the call in URLs: letters, digits and -. The same after a restart of the exporter.")]
    session: Annotated[str | None, _about("The session's id, if the platform has named it.")] = None
    call: Annotated[str | None, _about("The id of the phone call.")] = None
    trace_id: Annotated[str, _about("32 hexadecimal digits.")]
    traced: Annotated[bool, _about("Whether spans of the call are exported, so that its trace can be opened.")] = False
    agent: Annotated[str, _about("The label agent of its metrics.")]
    answered_by: AnsweredBy = "unknown"
    started_at: float
    ended_at: float | None = None
    end_reason: str | None = None
    connected: Annotated[bool, _about("Whether a connection of the call is open.")] = True
    activity: Activity = "unknown"
    waiting_since: Annotated[
        float | None, _about("Since when the caller has been silent and waits for an answer, by the exporter's clock.")
    ] = None
    turns: Annotated[int, _about("Turns counted.")] = 0
    last_wait: Annotated[float | None, _about("What the caller waited in the last turn that has a wait.")] = None
    last_bottleneck: Annotated[TurnComponent | None, _about("The longest part of that wait.")] = None
    worst_wait: float | None = None
    worst_bottleneck: TurnComponent | None = None
    slow_turns: int = 0
    unanswered: Annotated[int, _about("Turns of the caller that ended without an answer.")] = 0
    interruptions: int = 0
    errors: int = 0
    cost: Annotated[float | None, _about("Dollars, if there is a price list.")] = None
    truncated: Annotated[bool, _about("Whether earlier events of the call were dropped, because memory is bounded.")] = False


class Stage(Message, frozen=True, kw_only=True):
    """A bar of a turn's waterfall."""

    stage: StageName
    start: Annotated[float, _about("By the platform's clock, as in the span.")]
    end: Annotated[float | None, _about("null: it goes on.")]
    name: Annotated[str | None, _about("The model.")] = None
    first_output: Annotated[float | None, _about("When the model's first output came.")] = None
    failed: bool = False


class Tool(Message, frozen=True, kw_only=True):
    """A tool call or sub-agent of a turn."""

    name: str | None
    start: float
    end: Annotated[float | None, _about("null: it goes on. Equal to the start: its end is not reported.")]
    failed: bool = False


class Part(Message, frozen=True, kw_only=True):
    """A part of a caller's wait. The parts of a turn add up to its wait; ``unexplained`` can be negative."""

    component: TurnComponent
    seconds: float


class Turn(Message, frozen=True, kw_only=True):
    """A turn of a call."""

    key: Annotated[
        str,
        _about(
            "Names the turn within the call: its number, after the sub-agent's id and a slash if there is one. "
            "`open` while it has no number; that key is then gone."
        ),
    ]
    state: Annotated[
        TurnState,
        _about("open: it goes on. completed: it waits for its turn.metrics. without_metrics: they did not come."),
    ]
    number: int | None = None
    agent_first: Annotated[bool, _about("The agent began it, so nobody waited.")] = False
    sub_agent: str | None = None
    start: float
    end: Annotated[float | None, _about("null: it goes on.")]
    estimated: Annotated[bool, _about("Its times are estimates: no stamp of the platform could be used.")] = False
    received: Annotated[float | None, _about("When its turn.metrics came, by the exporter's clock.")] = None
    wait: Annotated[float | None, _about("What the caller waited.")] = None
    bottleneck: TurnComponent | None = None
    parts: list[Part] = []
    why: Annotated[str | None, _about("Why the turn was slow or failed, as a sentence.")] = None
    slow: bool = False
    unanswered: bool = False
    interrupted: bool = False
    cancelled: bool = False
    error: Annotated[str | None, _about("The component that failed.")] = None
    stages: list[Stage] = []
    tools: list[Tool] = []
    fields: Annotated[
        dict[str, Any], _about("The fields of its turn.metrics as on the wire; /api/v1/fields describes them. Empty while open.")
    ] = {}
    user_text: Annotated[str | None, _about("What was said. Only with --live-content.")] = None
    agent_text: Annotated[str | None, _about("What was said. Only with --live-content.")] = None


class Mark(Message, frozen=True, kw_only=True):
    """Something that happened at a moment of a call, or lasted from ``at`` to ``end``."""

    kind: MarkKind
    at: Annotated[float, _about("By the platform's clock.")]
    end: float | None = None
    text: Annotated[str | None, _about("More about it, such as an error code.")] = None


class Truncated(Message, frozen=True, kw_only=True):
    """What is no longer kept of a call, because memory is bounded."""

    turns: int = 0
    events: int = 0


class CallDetail(Message, frozen=True, kw_only=True):
    """An opened call."""

    seq: int
    now: float
    call: Call
    lag: Annotated[
        float, _about("Seconds that the exporter's clock is ahead of the platform's. now - lag is the present on the turns' clock.")
    ]
    turns: Annotated[list[Turn], _about("By start.")]
    marks: list[Mark]
    truncated: Truncated


class CallDetailChange(Message, frozen=True, kw_only=True):
    """What changed in an opened call. ``null`` and empty lists: nothing."""

    seq: int
    now: float
    call: Call | None = None
    lag: float | None = None
    turns: Annotated[list[Turn], _about("New or changed turns: replace by key.")] = []
    gone: Annotated[list[str], _about("Keys of turns that are no longer kept.")] = []
    marks: Annotated[list[Mark] | None, _about("All marks.")] = None
    truncated: Truncated | None = None


class Wait(Message, frozen=True, kw_only=True):
    """The callers' waits of a window, estimated from histogram buckets as Prometheus does."""

    minutes: int
    count: Annotated[int, _about("Turns with a wait.")] = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    met: Annotated[float | None, _about("Share of caller turns that met the objective; an unanswered turn did not.")] = None
    turns: Annotated[int, _about("All turns, also those that the agent began.")] = 0
    unanswered: int = 0
    slow: int = 0
    errors: Annotated[int, _about("session.error events.")] = 0


class Share(Message, frozen=True, kw_only=True):
    """How much of the callers' waits of the last 15 minutes a component took."""

    component: TurnComponent
    seconds: float


class OtlpState(Message, frozen=True, kw_only=True):
    """The state of a signal that is sent over OTLP."""

    signal: str
    queue_bytes: float = 0.0
    queue_items: float = 0.0
    failures: Annotated[int, _about("Requests that failed or were refused in the last 5 minutes.")] = 0
    dropped: Annotated[int, _about("Items lost in the last 5 minutes.")] = 0


class Summary(Message, frozen=True, kw_only=True):
    """All calls together."""

    calls: Annotated[int, _about("Calls now.")] = 0
    waiting: Annotated[int, _about("Callers who wait for an answer now.")] = 0
    connections: int = 0
    events_per_second: float = 0.0
    windows: Annotated[list[Wait], _about("The last 5 and the last 15 minutes.")] = []
    shares: list[Share] = []
    otlp: Annotated[list[OtlpState], _about("One entry a signal that is sent; empty without OTLP.")] = []
    last_scrape: Annotated[float | None, _about("When /metrics was last scraped.")] = None
    memory: Annotated[int, _about("Bytes that --live-memory counts now.")] = 0
    viewers: int = 0


class Heat(Message, frozen=True, kw_only=True):
    """The heat map of the callers' waits: a column for each ``step`` seconds, the last one in progress."""

    start: Annotated[float, _about("When the first column began.")]
    step: float
    bounds: Annotated[list[float], _about("Upper bounds of the rows in seconds. A last row holds what is above.")]
    columns: Annotated[list[list[int]], _about("For each column the turns in each row, one more than there are bounds.")]


class TurnNote(Message, frozen=True, kw_only=True):
    """A slow or failed turn of the last hour, newest first. Its call may no longer be kept."""

    call: Annotated[str, _about("The id of the call.")]
    turn: Annotated[str, _about("The key of the turn.")]
    agent: str
    at: float
    wait: float | None = None
    bottleneck: TurnComponent | None = None
    error: str | None = None


class Problem(Message, frozen=True, kw_only=True):
    """Something that was not taken as it came, newest first. Equal problems are counted together."""

    kind: ProblemKind
    reason: str
    field: Annotated[str | None, _about("The field or event it is about.")] = None
    count: int
    first_at: float
    last_at: float


class Objective(Message, frozen=True, kw_only=True):
    """The objective of docs/alerts.md: ``ratio`` of the callers' turns are answered within ``seconds``."""

    seconds: float = 2.0
    ratio: float = 0.95


class LiveConfig(Message, frozen=True, kw_only=True):
    """What of the configuration the page needs."""

    version: str
    slow_turn: Annotated[float, _about("--slow-turn")]
    dead_air: Annotated[float, _about("A longer silence is dead air.")]
    objective: Objective
    trace_url: Annotated[str | None, _about("--trace-url; {trace_id} stands for the trace id.")] = None
    content: Annotated[bool, _about("Whether --live-content is on.")] = False
    most_ended: Annotated[int, _about("Ended calls that are kept at most.")]
    memory: Annotated[int, _about("--live-memory in bytes.")]


class State(Message, frozen=True, kw_only=True):
    """Everything of the list's stream: its first message, and the first after a reconnection that differences cannot bridge."""

    seq: int
    now: float
    boot: Annotated[str, _about("Names this run of the exporter. Another one: it was restarted.")]
    config: LiveConfig
    summary: Summary
    calls: Annotated[list[Call], _about("Live and ended calls, in no order.")]
    left_out: Annotated[int, _about("Live calls that are not in the list, because it is bounded.")] = 0
    heat: Heat
    slow_turns: list[TurnNote]
    problems: list[Problem]


class Change(Message, frozen=True, kw_only=True):
    """What changed since the message before. ``null``: nothing."""

    seq: int
    now: float
    calls: Annotated[list[Call], _about("New or changed calls: replace by id.")] = []
    gone: Annotated[list[str], _about("Ids of calls that are no longer kept.")] = []
    left_out: int | None = None
    summary: Summary | None = None
    heat: Heat | None = None
    slow_turns: list[TurnNote] | None = None
    problems: list[Problem] | None = None


class Bye(Message, frozen=True, kw_only=True):
    """The last message of a stream that the exporter ends."""

    reason: Literal["stopping", "gone", "too_slow"]


class CallList(Message, frozen=True, kw_only=True):
    """``GET /api/v1/calls``."""

    now: float
    calls: list[Call]
    left_out: int = 0


class SummaryAnswer(Message, frozen=True, kw_only=True):
    """``GET /api/v1/summary``."""

    now: float
    boot: str
    config: LiveConfig
    summary: Summary
    heat: Heat
    slow_turns: list[TurnNote]
    problems: list[Problem]


class FieldInfo(Message, frozen=True, kw_only=True):
    """A field of turn.metrics."""

    name: str
    unit: Annotated[str | None, _about("The unit on the wire, such as ms.")] = None
    metric: Annotated[str | None, _about("The metric that it feeds.")] = None
    help: str | None = None


class FieldGroup(Message, frozen=True, kw_only=True):
    """Fields of turn.metrics that belong together."""

    name: str
    fields: list[FieldInfo]


class FieldList(Message, frozen=True, kw_only=True):
    """``GET /api/v1/fields``."""

    groups: list[FieldGroup]


class Failure(Message, frozen=True, kw_only=True):
    """The body of an answer that is no success."""

    error: str


ANSWERS = {
    "GET /api/v1/summary": SummaryAnswer,
    "GET /api/v1/calls": CallList,
    "GET /api/v1/calls/{id}": CallDetail,
    "GET /api/v1/fields": FieldList,
    "GET /api/v1/stream, event: state": State,
    "GET /api/v1/stream, event: change": Change,
    "GET /api/v1/calls/{id}/stream, event: state": CallDetail,
    "GET /api/v1/calls/{id}/stream, event: change": CallDetailChange,
    "event: bye": Bye,
    "any error": Failure,
}
"""Each answer and event, and what its JSON is."""
