"""For each alert: series that make it fire, series just below the threshold, and series with too little traffic.

A scenario is rates a minute of counters (and values of gauges, marked so), in three phases: a good one, a bad one, a good one again.
"""

from dataclasses import dataclass, field

Rates = dict[str, float]
BOUNDS = (0.05, 0.1, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0, 3.5, 5.0, 10.0)
HERE = 'job="agentstack-exporter",instance="a:1"'
AGENT = f'{HERE},agent="support"'
HUMAN = 'answered_by="human"'
QUEUE = f'agentstack_exporter_otlp_queue_bytes{{{HERE},signal="traces"}}'
MODEL = f'{AGENT},provider="acme",model="m1"'


@dataclass(frozen=True)
class Scenario:
    """Series and their rates by phase; ``gauges`` are values and not rates. ``step`` is minutes a sample, phases are in samples."""

    good: Rates
    bad: Rates
    below: Rates | None = None
    few: Rates | None = None
    gauges: frozenset[str] = frozenset()
    step: int = 1
    phases: tuple[int, int, int] = (45, 60, 90)
    tags: str = field(default="")


def latency(metric: str, labels: str, rate: float, value: float, slow: float = 0.0, share: float = 0.0) -> Rates:
    """A histogram that takes ``rate`` observations a minute of ``value``, and a share of ``slow`` ones."""
    found = {}
    for bound in (*BOUNDS, float("inf")):
        below = rate * ((1 - share) * (value <= bound) + share * (slow <= bound))
        le = "+Inf" if bound == float("inf") else str(bound)
        found[f'{metric}_bucket{{{labels},le="{le}"}}'] = below
    return found | {f"{metric}_count{{{labels}}}": rate}


def turns(rate: float, value: float, slow: float = 0.0, share: float = 0.0, unanswered: float = 0.0) -> Rates:
    """Caller turns that wait ``value`` seconds, a share of them ``slow``, and others that get no answer."""
    perceived = latency("agentstack_user_perceived_latency_seconds", f"{AGENT},{HUMAN}", rate - unanswered, value, slow, share)
    counted = f"agentstack_caller_turns_total{{{AGENT},{HUMAN}"
    return perceived | {f'{counted},outcome="answered"}}': rate - unanswered, f'{counted},outcome="unanswered"}}': unanswered}


def machine(rate: float) -> Rates:
    """Slow turns of calls that a machine answered: no caller waits in them."""
    return latency("agentstack_user_perceived_latency_seconds", f'{AGENT},answered_by="machine"', rate, 8.0) | {
        f'agentstack_caller_turns_total{{{AGENT},answered_by="machine",outcome="unanswered"}}': rate
    }


def stage(metric: str, labels: str, threshold_near: float) -> Scenario:
    """The p95 of a stage; ``threshold_near`` lies in the bucket that ends at the threshold."""
    return Scenario(
        good=latency(metric, labels, 10, 0.4),
        bad=latency(metric, labels, 10, 4.0),
        below=latency(metric, labels, 10, threshold_near),
        few=latency(metric, labels, 1, 4.0),
    )


def share_of(part: str, whole: str, rate: float, bad: float, below: float, few: float) -> Scenario:
    """A part of a whole. ``bad`` and ``below`` are shares; ``few`` is a rate of the whole that is too little traffic."""

    def rates(total: float, ratio: float) -> Rates:
        return (
            {whole: total * (1 - ratio), part: total * ratio}
            if part.split("{", maxsplit=1)[0] == whole.split("{", maxsplit=1)[0]
            else {whole: total, part: total * ratio}
        )

    return Scenario(rates(rate, 0.0), rates(rate, bad), rates(rate, below), rates(few, bad))


def any_of(series: str, quiet: Rates | None = None) -> Scenario:
    """A counter of which any increase fires the alert."""
    return Scenario(good={series: 0, **(quiet or {})}, bad={series: 3, **(quiet or {})}, below={series: 0, **(quiet or {})})


OF_TURNS = f"agentstack_turns_total{{{AGENT}"
SCENARIOS: dict[str, Scenario] = {
    "AgentStackLatencyHigh": Scenario(
        turns(10, 0.5), turns(10, 0.5, 2.8, 0.2), turns(10, 0.5, 1.9, 1.0) | machine(20), turns(1, 0.5, 2.8, 0.2)
    ),
    "AgentStackLatencyCritical": Scenario(turns(10, 0.5), turns(10, 0.5, 4.5, 0.5), turns(10, 0.5, 3.2, 1.0), turns(1, 0.5, 4.5, 0.5)),
    "AgentStackObjectiveBurnsFast": Scenario(
        turns(10, 0.5),
        turns(10, 0.5, 3.0, 0.95),
        turns(10, 0.5, 3.0, 0.25) | machine(20),
        turns(0.2, 0.5, 3.0, 0.95),
        step=2,
        phases=(30, 30, 45),
    ),
    "AgentStackObjectiveBurnsSlowly": Scenario(
        turns(10, 0.5),
        turns(10, 0.5, 3.0, 0.3),
        turns(10, 0.5, 3.0, 0.03),
        turns(0.004, 0.5, 3.0, 0.3),
        step=30,
        phases=(16, 100, 54),
    ),
    "AgentStackTurnsUnanswered": Scenario(
        turns(10, 0.5), turns(10, 0.5, unanswered=4), turns(10, 0.5, unanswered=1.5) | machine(20), turns(1, 0.5, unanswered=0.4)
    ),
    "AgentStackCallersHangUp": share_of(
        f'agentstack_sessions_ended_after_turn_total{{{AGENT},last_turn="slow"}}',
        f'agentstack_sessions_ended_total{{{AGENT},reason="hangup"}}',
        *(5, 0.3, 0.1, 0.3),
    ),
    "AgentStackInterruptionsHigh": share_of(f'{OF_TURNS},interrupted="true"}}', f'{OF_TURNS},interrupted="false"}}', 10, 0.6, 0.35, 1),
    "AgentStackSttSlow": stage("agentstack_stt_delay_seconds", MODEL, 0.7),
    "AgentStackLlmSlow": stage("agentstack_llm_time_to_first_token_seconds", f'{MODEL},cancelled="false"', 1.4),
    "AgentStackTtsSlow": stage("agentstack_tts_time_to_first_byte_seconds", f'{MODEL},cancelled="false"', 0.7),
    "AgentStackRealtimeSlow": stage("agentstack_realtime_time_to_first_token_seconds", f'{MODEL},cancelled="false"', 1.4),
    "AgentStackTurnDecisionSlow": stage("agentstack_turn_decision_seconds", f'{AGENT},method="eou_model"', 1.4),
    "AgentStackTurnErrors": share_of(f'agentstack_turn_errors_total{{{AGENT},component="llm"}}', f"{OF_TURNS}}}", 10, 0.2, 0.04, 1),
    "AgentStackSessionErrors": share_of(
        f'agentstack_errors_total{{{AGENT},code="boom"}}',
        f'agentstack_sessions_ended_total{{{AGENT},reason="done"}}',
        5,
        0.4,
        0.08,
        0.3,
    ),
    "AgentStackToolErrors": share_of(
        f'agentstack_tool_executions_total{{{AGENT},tool="crm",outcome="error"}}',
        f'agentstack_tool_executions_total{{{AGENT},tool="crm",outcome="ok"}}',
        *(5, 0.4, 0.08, 0.3),
    ),
    "AgentStackProviderFallback": Scenario(
        good={f'agentstack_model_changes_total{{{AGENT},component="llm",change="provider"}}': 0},
        bad={f'agentstack_model_changes_total{{{AGENT},component="llm",change="provider"}}': 1},
        below={f'agentstack_model_changes_total{{{AGENT},component="llm",change="provider"}}': 0.3},
    ),
    "AgentStackLlmUnavailable": Scenario(
        good={f'agentstack_llm_available{{{HERE},llm="m1"}}': 1},
        bad={f'agentstack_llm_available{{{HERE},llm="m1"}}': 0},
        gauges=frozenset({"agentstack_llm_available"}),
    ),
    "AgentStackCostHigh": Scenario(
        good={f'agentstack_cost_usd_total{{{HERE},component="llm",provider="acme",model="m1"}}': 0.5},
        bad={f'agentstack_cost_usd_total{{{HERE},component="llm",provider="acme",model="m1"}}': 4},
        below={f'agentstack_cost_usd_total{{{HERE},component="llm",provider="acme",model="m1"}}': 1.6},
        phases=(60, 100, 120),
    ),
    "AgentStackTurnMetricsMissing": share_of(f"agentstack_turns_without_metrics_total{{{AGENT}}}", f"{OF_TURNS}}}", 10, 0.5, 0.05, 1),
    "AgentStackExporterDown": Scenario(good={f"up{{{HERE}}}": 1}, bad={f"up{{{HERE}}}": 0}, gauges=frozenset({"up"})),
    "AgentStackAllExportersDown": Scenario(
        good={f"up{{{HERE}}}": 1, 'up{job="agentstack-exporter",instance="b:1"}': 1},
        bad={f"up{{{HERE}}}": 0, 'up{job="agentstack-exporter",instance="b:1"}': 0},
        below={f"up{{{HERE}}}": 0, 'up{job="agentstack-exporter",instance="b:1"}': 1},
        gauges=frozenset({"up"}),
    ),
    "AgentStackExporterExportFails": Scenario(
        good={
            f'agentstack_exporter_otlp_attempts_total{{{HERE},signal="traces",outcome="{outcome}"}}': rate
            for outcome, rate in (("failed", 0), ("delivered", 5))
        },
        bad={
            f'agentstack_exporter_otlp_attempts_total{{{HERE},signal="traces",outcome="{outcome}"}}': rate
            for outcome, rate in (("failed", 5), ("delivered", 0))
        },
        below={
            f'agentstack_exporter_otlp_attempts_total{{{HERE},signal="traces",outcome="{outcome}"}}': rate
            for outcome, rate in (("failed", 5), ("delivered", 1))
        },
    ),
    "AgentStackExporterDrops": any_of(f'agentstack_exporter_otlp_dropped_total{{{HERE},signal="traces",reason="queue_full"}}'),
    "AgentStackExporterQueueFills": Scenario(
        good={QUEUE: 40_000},
        bad={QUEUE: 30_000_000},
        below={QUEUE: 16_777_216},
        gauges=frozenset({"agentstack_exporter_otlp_queue_bytes"}),
    ),
    "AgentStackExporterOverflow": any_of(f'agentstack_exporter_label_overflow_total{{{HERE},label="agent"}}'),
    "AgentStackExporterRejects": Scenario(
        good={
            f'agentstack_exporter_frames_total{{{HERE},outcome="rejected"}}': 0,
            f"agentstack_exporter_frames_received_total{{{HERE}}}": 1000,
        },
        bad={
            f'agentstack_exporter_frames_total{{{HERE},outcome="rejected"}}': 50,
            f"agentstack_exporter_frames_received_total{{{HERE}}}": 1000,
        },
        below={
            f'agentstack_exporter_frames_total{{{HERE},outcome="rejected"}}': 9,
            f"agentstack_exporter_frames_received_total{{{HERE}}}": 1000,
        },
        few={
            f'agentstack_exporter_frames_total{{{HERE},outcome="rejected"}}': 1,
            f"agentstack_exporter_frames_received_total{{{HERE}}}": 5,
        },
    ),
    "AgentStackExporterLate": Scenario(
        good=latency("agentstack_exporter_event_loop_lag_seconds", HERE, 600, 0.01),
        bad=latency("agentstack_exporter_event_loop_lag_seconds", HERE, 600, 0.01, 0.4, 0.1),
        below=latency("agentstack_exporter_event_loop_lag_seconds", HERE, 600, 0.09),
    ),
    "AgentStackHistogramsMissing": Scenario(
        good=turns(10, 0.5),
        bad=turns(10, 0.5) | latency("agentstack_user_perceived_latency_seconds", f"{AGENT},{HUMAN}", 0, 0.5),
        below=turns(10, 0.5, unanswered=9),
        few=turns(1, 0.5) | latency("agentstack_user_perceived_latency_seconds", f"{AGENT},{HUMAN}", 0, 0.5),
    ),
    "AgentStackExporterTurnsAway": Scenario(
        good={f'agentstack_exporter_connections_refused_total{{{HERE},reason="too_many"}}': 0},
        bad={f'agentstack_exporter_connections_refused_total{{{HERE},reason="too_many"}}': 2},
        below={
            f'agentstack_exporter_connections_refused_total{{{HERE},reason="too_many"}}': 0.3,
            f'agentstack_exporter_connections_refused_total{{{HERE},reason="stopping"}}': 50,
        },
    ),
    "AgentStackAppUnreachable": any_of(f'agentstack_exporter_upstream_failures_total{{{HERE},reason="unreachable"}}'),
    "AgentStackExporterUnobserved": any_of(f'agentstack_exporter_tap_dropped_total{{{HERE},reason="buffer_full"}}'),
}
"""Every alert except the one for missing thresholds, which is tested without them."""
