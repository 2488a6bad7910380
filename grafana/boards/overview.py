"""Overview: whether callers wait, whether the objective is met, and which agent or component to look at next."""

from grafana.board import Board, PanelRow, Placed, Section, even, uid_of
from grafana.numbers import number
from grafana.objective import BURNS_FAST, CRITICAL, OBJECTIVE, RECENT, SLO_BOUND
from grafana.panels import lines
from grafana.queries import (
    CALLERS,
    PERCEIVED,
    STEP,
    Query,
    attainment,
    burn,
    caller_turns,
    firing_for,
    good_turns,
    increase,
    now,
    per_minute,
    quantile,
    quantiles,
    select,
    share,
    slow_turns,
    tally,
    total,
)
from grafana.style import BAD, COLOURS, GOOD, WARN, Steps
from grafana.tables import Column, grid
from grafana.variables import to_board, to_runbook

WAIT: Steps = ((None, GOOD), (SLO_BOUND, WARN), (CRITICAL, BAD))
KEPT: Steps = ((None, BAD), (OBJECTIVE - 0.05, WARN), (OBJECTIVE, GOOD))
BUDGET: Steps = ((None, BAD), (0, WARN), (0.25, GOOD))
RARE: Steps = ((None, GOOD), (0.02, WARN), (0.05, BAD))
AGE: Steps = ((None, GOOD), (90, WARN), (180, BAD))
_UNANSWERED = share(
    caller_turns(window=RECENT, outcome="unanswered"),
    caller_turns(window=RECENT),
)
_AGE = f"max(time() - timestamp({select('agentstack_exporter_build_info')}))"

_NOW = (
    number(
        "Waiting now",
        "Callers who have stopped speaking and hear nothing yet. A few that come and go are normal; a number that stays says an "
        "agent has stopped answering: look at the table of agents below.",
        "count",
        now(total("agentstack_turns_waiting")),
        none="not scraped",
    ),
    number(
        f"p95 wait, last {RECENT}",
        f"19 of 20 answered callers waited no longer than this. Orange from {SLO_BOUND:g} s, red from {CRITICAL:g} s. Trust it from "
        "about 100 turns (beside it) on. Above the bound: open Turn anatomy to see which component takes the time.",
        "s",
        now(quantile(0.95, PERCEIVED, window=RECENT, **CALLERS)),
        steps=WAIT,
        decimals=2,
        none="no turns",
        alerts=("AgentStackLatencyHigh", "AgentStackLatencyCritical"),
    ),
    number(
        f"Caller turns, last {RECENT}",
        "How many turns the numbers beside this one rest on. Below 100, one slow turn moves the p95; choose a longer time.",
        "turns",
        now(caller_turns(window=RECENT)),
        decimals=0,
        none="no turns",
    ),
    number(
        f"Unanswered, last {RECENT}",
        "Share of caller turns that never got an answer. The p95 does not see them. Red: check errors by code, then the provider "
        "board; agents that fail one by one stand in the table.",
        "percentunit",
        now(_UNANSWERED),
        steps=RARE,
        decimals=1,
        none="no turns",
        alerts=("AgentStackTurnsUnanswered",),
    ),
    number(
        f"Within {SLO_BOUND:g} s, time shown",
        f"Share of caller turns answered within {SLO_BOUND:g} s, unanswered ones counted as misses, voicemail kept out. The objective "
        f"is {OBJECTIVE:.0%}. Exact: the bound is a bucket of the histogram.",
        "percentunit",
        now(attainment(window="$__range")),
        steps=KEPT,
        decimals=1,
        none="no turns",
    ),
    number(
        "Error budget left, time shown",
        "What is left of the misses that the objective allows in the time shown; choose the last 30 days for a month's budget. "
        "Below zero the objective is missed: stop risky changes, fix the largest component first.",
        "percentunit",
        now(f"1 - {burn('$__range')}"),
        steps=BUDGET,
        decimals=0,
        none="no turns",
    ),
    number(
        "Active calls",
        "Sessions going on. None while you expect calls: check telephony and, on Exporter health, that connections arrive.",
        "count",
        now(total("agentstack_sessions_active")),
        decimals=0,
        none="not scraped",
    ),
    number(
        "Age of the data",
        "Since the oldest of the exporters was last scraped. Red: every number here is old. Look at Exporter health and at "
        "Prometheus' targets before believing any of them.",
        "s",
        now(_AGE),
        steps=AGE,
        decimals=0,
        none="not scraped",
    ),
)

_WAITS = (
    Placed(
        15,
        lines(
            "What callers wait",
            f"From the caller's last word to the agent's first. Dashed: {SLO_BOUND:g} s and {CRITICAL:g} s. A gap: no turns. A dot is "
            f"one turn beyond {SLO_BOUND:g} s: click it to open its trace. p50 rises too: something is slow for everybody; only p99: "
            "look at single traces.",
            "s",
            *quantiles(PERCEIVED, **CALLERS),
            slow_turns(),
            steps=((None, "transparent"), (SLO_BOUND, "orange"), (CRITICAL, "red")),
            colours={"p50": "light-blue", "p95": "dark-blue", "p99": "dark-purple"},
            values=("mean", "max", "lastNotNull"),
            alerts=("AgentStackLatencyHigh", "AgentStackLatencyCritical"),
        ),
    ),
    Placed(
        9,
        lines(
            "Caller turns",
            "What the quantiles beside rest on: turns by how they ended for the caller. Few turns make jumpy quantiles. Unanswered "
            "ones (red) have no latency and are in no quantile.",
            "turns",
            Query(good_turns(window=STEP), f"within {SLO_BOUND:g} s"),
            Query(f"clamp_min({caller_turns(window=STEP, outcome='answered')} - {good_turns(window=STEP)}, 0)", "slower"),
            Query(caller_turns(window=STEP, outcome="unanswered"), "unanswered"),
            stacked=True,
            bars=True,
            colours={f"within {SLO_BOUND:g} s": "green", "slower": "orange", "unanswered": "red"},
            values=("sum",),
        ),
    ),
)

_OBJECTIVE = (
    Placed(
        12,
        lines(
            f"Answered within {SLO_BOUND:g} s",
            f"Share of caller turns that kept the bound; dashed: the objective, {OBJECTIVE:.0%}. Compare with the number of turns "
            f"above "
            "before reacting to a dip.",
            "percentunit",
            Query(attainment(), "kept"),
            Query(attainment(window="1h"), "kept, last hour"),
            steps=((None, "transparent"), (OBJECTIVE, "red")),
            colours={"kept": "light-blue", "kept, last hour": "dark-blue"},
            top=1,
            bottom=0.8,
            values=("min", "lastNotNull"),
        ),
    ),
    Placed(
        12,
        lines(
            "Error budget burn",
            "How many times faster than planned the budget is spent: 1 spends it exactly in the objective's window. Both lines above "
            "14.4 (dashed) spend 2 % of a month in an hour: that pages. Only the short one high: it has just begun or is a blip.",
            "factor",
            Query(burn("5m"), "last 5 minutes"),
            Query(burn("1h"), "last hour"),
            steps=((None, "transparent"), (1, "orange"), (BURNS_FAST, "red")),
            colours={"last 5 minutes": "light-blue", "last hour": "dark-blue"},
            axis="times the planned rate",
            values=("lastNotNull", "max"),
            alerts=("AgentStackObjectiveBurnsFast", "AgentStackObjectiveBurnsSlowly"),
        ),
    ),
)

_FIRING = grid(
    "Firing alerts",
    "Alerts of the shipped rules that fire: critical ones first, then the longest, which is often the cause of the others. Click one "
    "for its runbook. They are marked on every board. Without the rules in this Prometheus a row says so.",
    {"alertname": "Alert", "severity": "Severity", "of": "Of"},
    Column("Active for", "s", firing_for()),
    link=to_runbook(),
    empty="no alert fires",
    urgency="Severity",
)

_AGENTS = grid(
    "Agents, time shown",
    "Which agent it is. The number of turns says how far to trust its quantiles. Click an agent for its turns' anatomy.",
    {"agent": "Agent"},
    Column("Caller turns", "turns", now(caller_turns("agent", window="$__range"))),
    Column("p50", "s", now(quantile(0.5, PERCEIVED, "agent", window="$__range", **CALLERS)), WAIT),
    Column("p95", "s", now(quantile(0.95, PERCEIVED, "agent", window="$__range", **CALLERS)), WAIT),
    Column(f"Within {SLO_BOUND:g} s", "percentunit", now(attainment("agent", window="$__range")), KEPT),
    Column(
        "Unanswered",
        "percentunit",
        now(share(caller_turns("agent", window="$__range", outcome="unanswered"), caller_turns("agent", window="$__range"))),
        RARE,
    ),
    Column("Waiting now", "count", now(total("agentstack_turns_waiting", "agent"))),
    Column("Active calls", "count", now(total("agentstack_sessions_active", "agent"))),
    Column("Errors", "count", now(increase("agentstack_errors_total", "agent", window="$__range"))),
    link=to_board(uid_of("turns"), "Turn anatomy of this agent", agent="${__value.raw}"),
)

_CAUSES = (
    Placed(
        7,
        lines(
            "Slow turns by bottleneck",
            "Turns slower than the slow-turn threshold, by the component that took longest. The tallest colour is where to look: "
            "endpointing on Turn anatomy, the others on Providers and models.",
            "turns",
            Query(tally("agentstack_slow_turns_total", "component"), "{{component}}"),
            stacked=True,
            bars=True,
            colours=COLOURS,
            values=("sum",),
        ),
    ),
    Placed(
        10,
        lines(
            "Errors by code",
            "session.error events by code. A new code, or one that rises with the unanswered turns, is the first thing to search "
            "in the agent's log.",
            "count",
            Query(f"{tally('agentstack_errors_total', 'code')} > 0", "{{code}}"),
            axis="errors",
            stacked=True,
            bars=True,
            values=("sum",),
            alerts=("AgentStackSessionErrors",),
        ),
    ),
    Placed(
        7,
        lines(
            "Calls",
            "Calls begun and ended per minute. Begun without ended: calls hang; ended without begun: traffic stops.",
            "per minute",
            Query(per_minute("agentstack_sessions_total"), "begun"),
            Query(per_minute("agentstack_sessions_ended_total"), "ended"),
            colours={"begun": "blue", "ended": "purple"},
        ),
    ),
)

BOARD = Board(
    name="overview",
    title="AgentStack / Overview",
    description="Are callers waiting? Start here; every other board is linked above, with the time and filters chosen here.",
    sections=(
        Section("Now", (even(6, _FIRING), even(4, *_NOW[:4]), even(3, *_NOW[4:]))),
        Section("Callers", (PanelRow(9, _WAITS), PanelRow(7, _OBJECTIVE))),
        Section("Where to look", (even(9, _AGENTS), PanelRow(9, _CAUSES))),
    ),
)
