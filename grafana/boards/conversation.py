"""Conversation quality: interruptions, silences, tools, and how calls end."""

from grafana.board import Board, Section, even
from grafana.numbers import Of, number
from grafana.panels import lines
from grafana.queries import (
    SMOOTH,
    Query,
    caller_turns,
    increase,
    mean,
    minutes,
    now,
    part_of,
    per_minute,
    quantile,
    rate,
    share,
    tally,
    total,
)
from grafana.style import BAD, GOOD, WARN, Steps
from grafana.tables import Column, grid

_RANGE = "$__range"
_CALLS = increase("agentstack_sessions_ended_total", window=_RANGE)
_STARTS = increase("agentstack_agent_speech_starts_total", window=_RANGE)
_STATE = "agentstack_state_duration_seconds_total"
_OFTEN: Steps = ((None, GOOD), (0.2, WARN), (0.35, BAD))
_SELDOM: Steps = ((None, GOOD), (0.02, WARN), (0.05, BAD))

_NUMBERS = (
    number(
        "Interrupted speech",
        "Share of the agent's speeches that callers talk over. A fifth is lively; more: answers too long, too late, or echo on the "
        "line.",
        "percentunit",
        now(share(increase("agentstack_interruptions_total", window=_RANGE), _STARTS)),
        steps=_OFTEN,
        decimals=1,
        none="no speech",
        of=Of("speeches", now(_STARTS)),
        alerts=("AgentStackInterruptionsHigh",),
    ),
    number(
        "False interruptions",
        "Share of interruptions that were none: noise or a yes stopped the agent. Many: raise the interruption threshold.",
        "percentunit",
        now(
            share(
                increase("agentstack_false_interruptions_total", window=_RANGE),
                increase("agentstack_interruptions_total", window=_RANGE),
            )
        ),
        steps=_OFTEN,
        decimals=1,
        none="no interruptions",
        of=Of("interruptions", now(increase("agentstack_interruptions_total", window=_RANGE))),
    ),
    number(
        "Turns with dead air",
        "Times a caller waited in silence for more than 3 seconds, as a share of caller turns. Each is a caller who wonders whether "
        "the line is dead: see Turn anatomy for the cause.",
        "percentunit",
        now(share(increase("agentstack_dead_air_total", window=_RANGE), caller_turns(window=_RANGE))),
        steps=_SELDOM,
        decimals=1,
        none="no turns",
        of=Of("caller turns", now(caller_turns(window=_RANGE))),
    ),
    number(
        "Lost to a bad turn",
        "Share of calls that ended right after a slow or a silent turn: callers lost to latency. The strongest argument for fixing it. "
        "Where machines answer many calls it is more: they are in the whole only.",
        "percentunit",
        now(share(increase("agentstack_sessions_ended_after_turn_total", window=_RANGE), _CALLS)),
        steps=_SELDOM,
        decimals=1,
        none="no calls ended",
        of=Of("calls", now(_CALLS)),
        alerts=("AgentStackCallersHangUp",),
    ),
    number(
        "Failed tools",
        "Share of server-side tool calls that failed. The table below says which tool.",
        "percentunit",
        now(
            share(
                increase("agentstack_tool_executions_total", window=_RANGE, outcome="!=ok"),
                increase("agentstack_tool_executions_total", window=_RANGE),
            )
        ),
        steps=_SELDOM,
        decimals=1,
        none="no tools ran",
        of=Of("runs", now(increase("agentstack_tool_executions_total", window=_RANGE))),
        alerts=("AgentStackToolErrors",),
    ),
    number(
        "Median call",
        "Half of the calls are shorter. Falls when callers give up: compare with how calls end.",
        "minutes",
        now(minutes(quantile(0.5, "agentstack_session_duration_seconds", window=_RANGE))),
        decimals=1,
        none="no calls ended",
        of=Of("calls", now(_CALLS)),
    ),
)

_INTERRUPTIONS = lines(
    "Interruptions",
    "Per minute: agent speech stopped by the caller, and false alarms, by whether the agent went on speaking. "
    "Rising with the latency: callers speak because they wait.",
    "per minute",
    Query(per_minute("agentstack_interruptions_total"), "interruptions"),
    Query(per_minute("agentstack_false_interruptions_total", "resumed"), "false, resumed {{resumed}}"),
)
_REACTION = lines(
    "Reaction to barge-in",
    "From the caller's first word over the agent's to the agent's silence. Above half a second it feels as if the agent does not "
    "listen: look at the detection delay and at audio buffered ahead.",
    "s",
    Query(quantile(0.5, "agentstack_barge_in_reaction_seconds"), "p50"),
    Query(quantile(0.95, "agentstack_barge_in_reaction_seconds"), "p95"),
    steps=((None, "transparent"), (0.5, "orange")),
    colours={"p50": "light-blue", "p95": "dark-blue"},
)
_BACKCHANNELS = lines(
    "Overlapping speech",
    "What was judged while the agent spoke: backchannels (mhm, yes) let it go on, interruptions stop it. Nearly all judged one way: "
    "the threshold is at its end.",
    "per minute",
    Query(per_minute("agentstack_backchannels_total", "is_interruption"), "interruption: {{is_interruption}}"),
    stacked=True,
)
_DEAD_AIR = lines(
    "Dead air",
    "Calls in which a caller waits in silence for longer than 3 seconds, on average, by agent. Compare it with the calls going on, at "
    "the end of this board.",
    "calls",
    Query(rate("agentstack_dead_air_seconds_total", "agent"), "{{agent}}"),
    stacked=True,
)
_IDLE = lines(
    "Callers fallen silent",
    "user.idle events by reason: the caller did not speak for too long. Right after agent speech: the question was not understood, or "
    "the audio does not reach them.",
    "per minute",
    Query(per_minute("agentstack_user_idle_total", "reason"), "{{reason}}"),
    stacked=True,
)
_STATES = lines(
    "What agents spend calls on",
    "Share of time in each of the agent's states. More thinking and less speaking: slow components. More listening: callers talk more, "
    "or turns end late.",
    "percentunit",
    Query(part_of(rate(_STATE, "state", participant="agent"), rate(_STATE, participant="agent")), "{{state}}"),
    stacked=True,
    colours={"listening": "blue", "thinking": "orange", "speaking": "green", "initializing": "purple", "idle": "#8e8e8e"},
    top=1,
)

_TOOLS = grid(
    "Server-side tools, over the time shown",
    "Tools the platform ran, and how many failed. A tool that fails makes the agent apologise; one that runs often makes turns slow.",
    {"tool": "Tool"},
    Column("Runs", "count", now(increase("agentstack_tool_executions_total", "tool", window=_RANGE))),
    Column(
        "Failed",
        "percentunit",
        now(
            share(
                increase("agentstack_tool_executions_total", "tool", window=_RANGE, outcome="!=ok"),
                increase("agentstack_tool_executions_total", "tool", window=_RANGE),
            )
        ),
        _SELDOM,
    ),
)
_OWN_TOOLS = lines(
    "The customer's own tools",
    "Calls of tools in the customer's app, by tool. A tool called again and again within calls: its answer does not satisfy the model.",
    "per minute",
    Query(per_minute("agentstack_tool_calls_total", "tool"), "{{tool}}"),
    stacked=True,
)
_SUB_AGENTS = lines(
    "Sub-agents, p95 duration",
    "From the start of a sub-agent to its end, by type and outcome. The caller hears nothing else meanwhile unless the agent speaks.",
    "s",
    Query(
        quantile(0.95, "agentstack_agent_tool_duration_seconds", "agent_tool", "outcome", window=SMOOTH), "{{agent_tool}} {{outcome}}"
    ),
)

_ENDS = lines(
    "How calls end",
    "Ended calls by reason. More errors or lost connections than usual: see errors on Overview. A reason in disconnected, idle, "
    "superseded or shutdown is the exporter's own word for a call whose end it did not hear.",
    "count",
    Query(tally("agentstack_sessions_ended_total", "reason"), "{{reason}}"),
    axis="calls",
    colours={"user_hangup": "blue", "agent_hangup": "green", "transfer": "purple", "error": "red", "disconnected": "orange"},
    stacked=True,
    bars=True,
    values=("sum",),
)
_LOST = lines(
    "Ended right after a bad turn",
    "Calls whose last turn was slow, or silent (never answered). Beside the ends by reason: callers who hang up because they wait.",
    "count",
    Query(tally("agentstack_sessions_ended_after_turn_total", "last_turn"), "after a {{last_turn}} turn"),
    axis="calls",
    stacked=True,
    bars=True,
    colours={"after a slow turn": "orange", "after a silent turn": "red"},
    values=("sum",),
)
_LENGTH = lines(
    "Length of calls",
    "Duration and number of turns of calls that ended. Shorter with fewer turns: callers give up.",
    "minutes",
    Query(minutes(quantile(0.5, "agentstack_session_duration_seconds", window=SMOOTH)), "p50"),
    Query(minutes(quantile(0.95, "agentstack_session_duration_seconds", window=SMOOTH)), "p95"),
    colours={"p50": "light-blue", "p95": "dark-blue"},
)
_TURNS = lines(
    "Turns of a call",
    "Mean number of turns in the last five minutes. Falling: callers give up, or the agent has learnt to be brief; the "
    "ends by reason tell which.",
    "factor",
    Query(mean("agentstack_session_turns", "agent", window=SMOOTH), "{{agent}}"),
    axis="turns",
)
_SHORT = lines(
    "Calls of at most two turns",
    "Share of the calls of five minutes that ended after two turns or fewer, by agent: wrong numbers, callers who give up at once, and "
    "calls that were cut. The ends by reason tell which.",
    "percentunit",
    Query(
        share(
            increase("agentstack_session_turns", "agent", window=SMOOTH, suffix="_bucket", le="2.0"),
            increase("agentstack_session_turns", "agent", window=SMOOTH, suffix="_count"),
        ),
        "{{agent}}",
    ),
)
_LEAVE = lines(
    "Transfers and handoffs",
    "Calls passed on to people or to another agent. More than usual: the agent cannot help; listen to what is asked.",
    "per minute",
    Query(per_minute("agentstack_transfers_total"), "transferred"),
    Query(per_minute("agentstack_handoffs_total", "new_agent"), "handed to {{new_agent}}"),
)
_VOICEMAIL = lines(
    "Outbound calls: human or machine",
    "Who answered outbound calls. Machine-answered ones are kept out of the callers' latency. Empty without outbound calls.",
    "count",
    Query(tally("agentstack_voicemail_detections_total", "result"), "{{result}}"),
    axis="calls",
    stacked=True,
    bars=True,
    values=("sum",),
)
_TALK = lines(
    "Who is on the phone",
    "Active calls by agent. Compare every other panel with this one: twice the calls is twice the interruptions.",
    "count",
    Query(total("agentstack_sessions_active", "agent"), "{{agent}}"),
    axis="calls at once",
    stacked=True,
    side=True,
    values=("mean", "max"),
)

BOARD = Board(
    name="conversation",
    title="AgentStack / Conversation quality",
    description="Interruptions, silence, tools, and how calls end: what callers feel beside the latency.",
    sections=(
        Section("At a glance, over the time shown", (even(4, *_NUMBERS),)),
        Section("Talking over each other", (even(8, _INTERRUPTIONS, _REACTION, _BACKCHANNELS),)),
        Section("Silence", (even(8, _DEAD_AIR, _IDLE, _STATES),)),
        Section("How calls end", (even(8, _ENDS, _LOST, _LENGTH), even(8, _TURNS, _SHORT, _LEAVE, _VOICEMAIL))),
        Section("Tools", (even(8, _TOOLS, _OWN_TOOLS, _SUB_AGENTS),)),
        Section("Traffic", (even(7, _TALK),)),
    ),
)
