"""Exporter health: whether the numbers on the other boards are complete, and whether the exporter itself works."""

from grafana.board import Board, PanelRow, Placed, Section, even
from grafana.numbers import Of, number
from grafana.objective import QUEUE_FILLS
from grafana.panels import lines
from grafana.queries import Query, increase, now, per_minute, quantile, rate, select, share, tally, total
from grafana.style import BAD, GOOD, WARN, Steps
from grafana.tables import Column, grid

_RANGE = "$__range"
_OWN = "agentstack_exporter_"
_CALLS = increase("agentstack_sessions_ended_total", window=_RANGE)
_ALL: Steps = ((None, BAD), (1, GOOD))
_NONE: Steps = ((None, GOOD), (0.001, BAD))
_FEW: Steps = ((None, GOOD), (0.01, WARN))
_AGE: Steps = ((None, GOOD), (90, WARN), (180, BAD))
_TARGETS = ("instance",)

_NUMBERS = (
    number(
        "Exporters up",
        "Share of the targets that Prometheus can scrape. Not all: calls go on, but nobody sees them. Check the process and its "
        "/-/healthy page.",
        "percentunit",
        now(f"avg({select('up')})"),
        steps=_ALL,
        decimals=0,
        none="no target",
        of=Of("exporters", now(f"count({select('up')})")),
        alerts=("AgentStackExporterDown", "AgentStackAllExportersDown"),
    ),
    number(
        "Age of the data",
        "Since the oldest exporter was last scraped. Red: every board shows the past.",
        "s",
        now(f"max(time() - timestamp({select(_OWN + 'build_info')}))"),
        steps=_AGE,
        decimals=0,
        none="not scraped",
    ),
    number(
        "Calls not measured",
        "Share of calls whose turns completed while no turn.metrics came: latency of these agents is unknown. Enable metrics events "
        "for them.",
        "percentunit",
        now(share(increase("agentstack_sessions_without_turn_metrics_total", window=_RANGE), _CALLS)),
        steps=_FEW,
        decimals=1,
        none="no calls",
        of=Of("calls", now(_CALLS)),
        alerts=("AgentStackTurnMetricsMissing",),
    ),
    number(
        "Frames rejected",
        "Share of messages that were no event. A few are noise; many mean a new protocol version or a peer that does not belong here.",
        "percentunit",
        now(share(increase(_OWN + "frames_rejected_total", window=_RANGE), increase(_OWN + "frames_total", window=_RANGE))),
        steps=_FEW,
        decimals=1,
        none="no messages",
        of=Of("messages", now(increase(_OWN + "frames_total", window=_RANGE))),
        alerts=("AgentStackExporterRejects",),
    ),
    number(
        "Dropped for OTLP",
        "Share of spans and data points that will never be delivered. See the reason below; full queue: the collector is too slow or "
        "away.",
        "percentunit",
        now(share(increase(_OWN + "otlp_dropped_total", window=_RANGE), increase(_OWN + "otlp_items_total", window=_RANGE))),
        steps=_NONE,
        decimals=1,
        none="nothing sent",
        of=Of("items", now(increase(_OWN + "otlp_items_total", window=_RANGE))),
        alerts=("AgentStackExporterDrops",),
    ),
    number(
        "Labels without room",
        "Values counted as _other because the limit of their label, or of all series, was reached. The runbook finds which, and what "
        "fills it.",
        "count",
        now(increase(_OWN + "label_overflow_total", window=_RANGE)),
        none="none",
        alerts=("AgentStackExporterOverflow",),
    ),
)

_VERSIONS = f"on (instance) group_left (version) max by (instance, version) ({select(_OWN + 'build_info')})"
_INSTANCES = grid(
    "Exporters",
    "Each exporter. Fewer calls on one: check its load balancer and its authentication. A recent start: its counters began again.",
    {"instance": "Instance", "version": "Version"},
    Column("Open", "count", now(f"{total(_OWN + 'connections_active', *_TARGETS)} * {_VERSIONS}")),
    Column("Up for", "s", now(f"(time() - max by (instance) ({select('process_start_time_seconds')})) * {_VERSIONS}")),
    Column("Memory", "bytes", now(f"{total('process_resident_memory_bytes', *_TARGETS)} * {_VERSIONS}")),
    Column("Series", "count", now(f"{total(_OWN + 'series', *_TARGETS)} * {_VERSIONS}")),
)

_FRAMES = lines(
    "Frames by what became of them",
    "WebSocket messages per minute; the three add up to those received. Ignored ones are of kinds that carry nothing to measure.",
    "per minute",
    Query(per_minute(_OWN + "frames_total", "outcome"), "{{outcome}}"),
    stacked=True,
    colours={"processed": "blue", "ignored": "#8e8e8e", "rejected": "red"},
)
_CONNECTIONS = lines(
    "Connections",
    "Open connections and refused ones, by reason. Refused because a signature or token is missing or wrong: the settings of the "
    "exporter and of the platform disagree, and these calls are not seen.",
    "count",
    Query(total(_OWN + "connections_active"), "open"),
    Query(increase(_OWN + "connections_refused_total", "reason"), "refused: {{reason}}"),
    axis="connections",
    colours={"open": "blue"},
    alerts=("AgentStackExporterTurnsAway",),
)
_EVENTS = lines(
    "Events",
    "Events per minute by name. One that stopped while others go on: its source is switched off on the platform.",
    "per minute",
    Query(f"topk(10, {per_minute(_OWN + 'events_total', 'event')})", "{{event}}"),
    stacked=True,
    side=True,
    values=("mean",),
)

_REFUSED = lines(
    "Values refused",
    "Values that cannot be right (negative, absurd, of the wrong type), by field and reason: counted here, in no other number. "
    "Suddenly many: the platform changed a field.",
    "count",
    Query(f"topk(10, {tally(_OWN + 'values_refused_total', 'field', 'reason')} > 0)", "{{field}}: {{reason}}"),
    axis="values",
    stacked=True,
    bars=True,
    values=("sum",),
)
_REJECTED = lines(
    "Frames rejected, by reason",
    "too_large, invalid JSON and the like. internal_error is ours: please report it with the log line.",
    "count",
    Query(f"{tally(_OWN + 'frames_rejected_total', 'reason')} > 0", "{{reason}}"),
    axis="frames",
    stacked=True,
    bars=True,
    values=("sum",),
)
_UNKNOWN = grid(
    "Unknown events and fields, over the time shown",
    "Names that this version does not know: the platform is newer. Nothing is wrong; update the exporter to measure them.",
    {"event": "Event", "field": "Field"},
    Column(
        "Times",
        "count",
        now(
            f"{increase(_OWN + 'unknown_fields_total', 'event', 'field', window=_RANGE)} > 0 "
            f"or {increase(_OWN + 'unknown_events_total', 'event', window=_RANGE)} > 0"
        ),
    ),
    none="none",
)

_COMPLETE = lines(
    "Turns without their metrics",
    "Share of turns whose turn.metrics did not come within 10 s, and those that came late (counted, but later) or twice (counted "
    "once). "
    "Rising: the platform or the network delays events.",
    "percentunit",
    *(
        Query(share(increase(name), increase("agentstack_turns_total")), legend)
        for name, legend in (
            ("agentstack_turns_without_metrics_total", "without"),
            ("agentstack_turn_metrics_late_total", "late"),
            ("agentstack_turn_metrics_duplicates_total", "repeated"),
        )
    ),
    colours={"without": "orange", "late": "blue", "repeated": "purple"},
)
_LAG = lines(
    "Lag of events",
    "From an event's own time stamp to its receipt. Rising: network, or an exporter that cannot keep up (see the event loop below).",
    "s",
    Query(quantile(0.5, _OWN + "event_lag_seconds"), "p50"),
    Query(quantile(0.99, _OWN + "event_lag_seconds"), "p99"),
    colours={"p50": "light-blue", "p99": "dark-purple"},
)
_SKEW = lines(
    "Clock skew",
    "The smallest lag of the last minute. Below zero the platform's clock is ahead of ours: synchronise this host's clock.",
    "s",
    Query(f"min by (instance) ({select(_OWN + 'clock_skew_seconds')})", "{{instance}}"),
    signed=True,
)

_LOOP = lines(
    "Event loop lag",
    "How late the exporter's loop runs, p99. Above 100 ms it is overloaded: spread calls over more exporters.",
    "s",
    Query(quantile(0.99, _OWN + "event_loop_lag_seconds", "instance"), "{{instance}}"),
    alerts=("AgentStackExporterLate",),
)
_CPU = lines(
    "Processor",
    "Cores used. One is the most it can use: near it, spread calls over more exporters.",
    "cores",
    Query(rate("process_cpu_seconds_total", "instance"), "{{instance}}"),
)
_MEMORY = lines(
    "Memory",
    "Resident memory. It grows with calls and series and is bounded; a steady climb with steady traffic is a bug: please report it.",
    "bytes",
    Query(total("process_resident_memory_bytes", "instance"), "{{instance}}"),
)
_SERIES = lines(
    "Series and samples",
    "Series the store holds and samples in a scrape. At the series cap new combinations become _other (see labels without room).",
    "count",
    Query(total(_OWN + "series", "instance"), "{{instance}} series"),
    Query(total("scrape_samples_scraped", "instance"), "{{instance}} samples"),
    axis="series, samples",
)
_SCRAPE = lines(
    "Scrape",
    "How long Prometheus waited for /metrics, and the exporter needed to render it. Near the scrape timeout: fewer series or a longer "
    "one.",
    "s",
    Query(f"max by (instance) ({select('scrape_duration_seconds')})", "{{instance}} scraped"),
    Query(f"max by (instance) ({select(_OWN + 'render_duration_seconds')})", "{{instance}} rendered"),
)
_FILES = lines(
    "File descriptors",
    "Share of the allowed file descriptors in use; each call takes one. Above 80 %: raise the limit before calls are refused.",
    "percentunit",
    Query(
        f"{total('process_open_fds', 'instance')} / {total('process_max_fds', 'instance')}",
        "{{instance}}",
    ),
    top=1,
)

_QUEUE = lines(
    "OTLP queue",
    "What waits to be delivered. Growing: the collector is slow or away; spans are kept until the queue's limit, 64 MiB in memory. "
    "Dashed: 16 MiB, for ten minutes, raise an alert. Empty without OTLP.",
    "bytes",
    Query(total(_OWN + "otlp_queue_bytes", "instance", "signal"), "{{instance}} {{signal}}"),
    steps=((None, "transparent"), (QUEUE_FILLS, "orange")),
    alerts=("AgentStackExporterQueueFills",),
)
_ITEMS = lines(
    "OTLP items",
    "Spans and data points per minute by what became of them. Anything but delivered and replaced is lost: see the reasons beside.",
    "per minute",
    Query(per_minute(_OWN + "otlp_items_total", "signal", "outcome"), "{{signal}} {{outcome}}"),
    alerts=("AgentStackExporterExportFails",),
)
_FAILURES = lines(
    "OTLP failures and drops",
    "Failed requests and dropped items by reason. unavailable: the collector; unauthenticated: its token; too large: its limits.",
    "count",
    Query(f"{tally(_OWN + 'otlp_failures_total', 'signal', 'reason')} > 0", "{{signal}} failed: {{reason}}"),
    Query(f"{tally(_OWN + 'otlp_dropped_total', 'signal', 'reason')} > 0", "{{signal}} dropped: {{reason}}"),
    axis="requests, items",
    bars=True,
    stacked=True,
    values=("sum",),
    alerts=("AgentStackExporterDrops",),
)

_RELAY_DELAY = lines(
    "Held by the relay",
    "How long bytes were held before they were passed on. Above a few milliseconds callers may hear it: give the exporter a core.",
    "s",
    Query(quantile(0.5, _OWN + "relay_delay_seconds"), "p50"),
    Query(quantile(0.99, _OWN + "relay_delay_seconds"), "p99"),
    colours={"p50": "light-blue", "p99": "dark-purple"},
)
_REACHING = lines(
    "Reaching the app",
    "How long the relay needed to connect to the app behind it. The platform waits as long before the call begins: rising, the app is "
    "short of workers or far away.",
    "s",
    Query(quantile(0.5, _OWN + "upstream_connect_seconds"), "p50"),
    Query(quantile(0.99, _OWN + "upstream_connect_seconds"), "p99"),
    colours={"p50": "light-blue", "p99": "dark-purple"},
)
_APP = lines(
    "Calls the app did not take",
    "Connections that failed behind the relay, by reason. Each is a call that did not reach the app; see whether it is up.",
    "count",
    Query(tally(_OWN + "upstream_failures_total", "reason"), "{{reason}}"),
    axis="connections",
    bars=True,
    stacked=True,
    values=("sum",),
    alerts=("AgentStackAppUnreachable",),
)
_NOT_SEEN = lines(
    "Passed on and not measured",
    "Messages that the relay did not look at, and events that taps dropped, by reason. Calls are well; numbers of them are missing.",
    "count",
    Query(tally(_OWN + "relay_dropped_total", "reason"), "relay: {{reason}}"),
    Query(tally(_OWN + "tap_dropped_total", "reason"), "tap: {{reason}}"),
    axis="messages, events",
    bars=True,
    stacked=True,
    values=("sum",),
    alerts=("AgentStackExporterUnobserved",),
)
_TAPS = lines(
    "Taps connected",
    "Customers' apps that send their calls' events over one connection. Fewer than there are apps: one cannot reach the exporter.",
    "count",
    Query(total(_OWN + "taps_active", "instance"), "{{instance}}"),
    axis="taps",
)
_REPEATED = lines(
    "Sent again by taps",
    "Events that taps sent twice since they did not hear that the first had come; they count once. Again and again: connections "
    "between the apps and the exporter break.",
    "count",
    Query(tally(_OWN + "tap_repeated_total", "instance"), "{{instance}}"),
    axis="events",
    bars=True,
    stacked=True,
    values=("sum",),
)

_INFO = "agentstack_framework_info"
_NAMED_AS = ("agent", "framework", "framework_version")
_FRAMEWORKS = grid(
    "Frameworks, over the time shown",
    "What feeds the calls that come from another framework, by agent. An agent whose version changed has a line for each until the "
    "exporter restarts. Empty if all calls are AgentStack's own.",
    {"agent": "Agent", "framework": "Framework", "framework_version": "Version"},
    Column(
        "Calls",
        "count",
        now(
            f"max by ({', '.join(_NAMED_AS)}) ({select(_INFO)}) "
            f"* on (agent) group_left {increase('agentstack_sessions_total', 'agent', window=_RANGE)}"
        ),
    ),
    empty="no other framework",
)

_LOG = lines(
    "Log lines dropped",
    "Lines that whoever reads the exporter's stderr did not take in time. Calls do not wait for it, but the log has gaps: look at the "
    "log driver, and at what is logged so often.",
    "count",
    Query(tally(_OWN + "log_lines_dropped_total", "instance"), "{{instance}}"),
    axis="lines",
    bars=True,
    stacked=True,
    values=("sum",),
)

BOARD = Board(
    name="exporter",
    title="AgentStack / Exporter health",
    description="Whether the other boards can be believed: scrapes, refused values, missing metrics, queues, the exporter's load.",
    sections=(
        Section("Can the numbers be believed? Over the time shown", (even(4, *_NUMBERS), even(6, _INSTANCES))),
        Section("What arrives", (PanelRow(9, (Placed(6, _FRAMES), Placed(6, _CONNECTIONS), Placed(12, _EVENTS))),)),
        Section("What is not counted", (even(8, _REFUSED, _REJECTED, _UNKNOWN),)),
        Section("What is late or missing", (even(8, _COMPLETE, _LAG, _SKEW),)),
        Section("Load", (even(7, _LOOP, _CPU, _MEMORY), even(7, _SERIES, _SCRAPE, _FILES, _LOG))),
        Section("OpenTelemetry", (even(7, _QUEUE, _ITEMS, _FAILURES),)),
        Section("Relay and taps", (even(7, _RELAY_DELAY, _REACHING, _APP), even(7, _NOT_SEEN, _TAPS, _REPEATED), even(6, _FRAMEWORKS))),
    ),
)
