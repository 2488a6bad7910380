"""The exporter's metrics about itself: their specs, and a handle on each."""

from typing import Final, Literal

from exporter.catalogue import buckets
from exporter.catalogue.declarations import PREFIX, MetricSpec
from exporter.metrics.instrument import Instrument
from exporter.metrics.store import Row, Store
from exporter.protocol.reasons import RejectionReason

Outcome = Literal["processed", "ignored", "rejected"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("processed", "ignored", "rejected")
INTERNAL_ERROR: Final = "internal_error"
"""The exporter failed at the frame: the only rejection reason that is not the sender's fault."""
REJECTION_REASONS: Final = (*(str(reason) for reason in RejectionReason), INTERNAL_ERROR)
_SELF = PREFIX + "exporter."


def _counter(name: str, unit: str, text: str, *labels: str) -> MetricSpec:
    return MetricSpec(kind="counter", otel_name=_SELF + name, unit=unit, help=text, labels=labels)


def _gauge(name: str, unit: str, text: str, *labels: str) -> MetricSpec:
    return MetricSpec(kind="gauge", otel_name=_SELF + name, unit=unit, help=text, labels=labels)


def _histogram(name: str, text: str, bounds: tuple[float, ...]) -> MetricSpec:
    return MetricSpec(kind="histogram", otel_name=_SELF + name, unit="s", help=text, bounds=bounds)


def _process(kind: Literal["counter", "gauge"], name: str, unit: str, text: str) -> MetricSpec:
    return MetricSpec(kind=kind, otel_name="process." + name, unit=unit, help=text)


BUILD_INFO: Final = _gauge("build_info", "", "Always 1; its labels say which exporter this is.", "version", "python", "build")
FRAMES_RECEIVED: Final = _counter("frames_received", "{frame}", "WebSocket messages received.")
FRAMES: Final = _counter("frames", "{frame}", "WebSocket messages by outcome; adds up to the messages received.", "outcome")
FRAMES_REJECTED: Final = _counter(
    "frames_rejected", "{frame}", "WebSocket messages rejected because they are not an event, by reason.", "reason"
)
FRAMES_TRUNCATED: Final = _counter(
    "frames_truncated", "{frame}", "WebSocket messages longer than --max-frame-bytes: events read without their long parts."
)
EVENTS: Final = _counter("events", "{event}", "Events processed, by their name in the current generation.", "event")
UNKNOWN_EVENTS: Final = _counter("unknown_events", "{event}", "Events of unknown type, by name.", "event")
UNKNOWN_FIELDS: Final = _counter("unknown_fields", "{field}", "Fields of known events that are unknown, by name.", "event", "field")
VALUES_REFUSED: Final = _counter(
    "values_refused",
    "{value}",
    "Values that were not observed because they are not plausible, by field and reason.",
    "field",
    "reason",
)
LABEL_OVERFLOW: Final = _counter(
    "label_overflow",
    "{value}",
    "Label values replaced by _other because their label had no room; series: the store was full.",
    "label",
)
LABEL_MASKED: Final = _counter(
    "label_masked", "{value}", "Label values in which a phone number, or what looks like one, was replaced by _masked.", "label"
)
SERIES: Final = _gauge("series", "{series}", "Series for which the store has allocated room.")
CONNECTIONS: Final = _counter("connections", "{connection}", "WebSocket connections accepted.")
CONNECTIONS_ACTIVE: Final = _gauge("connections_active", "{connection}", "WebSocket connections open.")
CONNECTIONS_REFUSED: Final = _counter(
    "connections_refused", "{connection}", "Connections refused or closed by the exporter, by reason.", "reason"
)
EVENT_LAG: Final = _histogram(
    "event_lag", "From an event's own timestamp to its receipt; not for replays over an hour old.", buckets.LAG
)
CLOCK_SKEW: Final = _gauge(
    "clock_skew",
    "s",
    "Smallest lag of an event in the last minute. If negative, the platform's clock is ahead of ours by at least that.",
)
LOOP_LAG: Final = _histogram("event_loop_lag", "How late the event loop ran a timer; sampled ten times a second.", buckets.MICRO)
RENDER_DURATION: Final = _gauge("render_duration", "s", "How long the last rendering of /metrics took.")
SCRAPE_SIZE: Final = _gauge("scrape_size", "By", "Size of the last answer to a scrape, as sent.")
TAPS_ACTIVE: Final = _gauge("taps_active", "{connection}", "Open connections of taps inside customers' apps; each carries many calls.")
TAP_DROPPED: Final = _counter(
    "tap_dropped", "{event}", "Events that taps report as dropped, by reason: overflow, too_large, unreadable.", "reason"
)
TAP_REPEATED: Final = _counter(
    "tap_repeated", "{event}", "Events that taps sent again although they were counted before; each counts once."
)
UPSTREAM_CONNECT: Final = _histogram("upstream_connect", "How long it took to reach the app behind the relay.", buckets.COMPONENT)
UPSTREAM_FAILURES: Final = _counter(
    "upstream_failures",
    "{connection}",
    "Connections that failed between the relay and the app behind it, by reason: unreachable, timeout, no_answer, refused.",
    "reason",
)
RELAY_DELAY: Final = _histogram("relay_delay", "How long the relay held bytes before it passed them on.", buckets.RELAY)
RELAY_DROPPED: Final = _counter(
    "relay_dropped",
    "{message}",
    "Messages that the relay passed on without measuring them, by reason: overflow, error; protocol: not a WebSocket message.",
    "reason",
)
OTLP_ITEMS: Final = _counter(
    "otlp_items",
    "{item}",
    "Spans and data points by outcome: delivered, rejected by the receiver, dropped here, replaced by newer ones.",
    *("signal", "outcome"),
)
OTLP_DROPPED: Final = _counter(
    "otlp_dropped", "{item}", "Spans and data points that were lost and will never be delivered, by reason.", *("signal", "reason")
)
OTLP_ATTEMPTS: Final = _counter(
    "otlp_attempts",
    "{attempt}",
    "Requests by outcome: delivered, failed (will be retried), refused (will not be retried).",
    *("signal", "outcome"),
)
OTLP_FAILURES: Final = _counter("otlp_failures", "{attempt}", "Requests that failed or were refused, by reason.", *("signal", "reason"))
OTLP_FOREIGN_ANSWERS: Final = _counter(
    "otlp_foreign_answers",
    "{answer}",
    "Accepted requests whose answer is no OTLP response, as a login page: the address may not be a collector's.",
    "signal",
)
OTLP_QUEUE: Final = _gauge("otlp_queue", "By", "Size of the queue of undelivered data, in memory and on disk.", "signal")
OTLP_QUEUE_ITEMS: Final = _gauge("otlp_queue_items", "{item}", "Spans and data points in the queue of undelivered data.", "signal")
OTLP_DISK_ERRORS: Final = _counter(
    "otlp_disk_errors", "{error}", "Times the queue's directory could not be used and memory was used instead.", "signal"
)
OTLP_DISK_DAMAGED: Final = _counter(
    "otlp_disk_damaged", "{place}", "Places in the queue's files that could not be read and were skipped.", "signal"
)
SDK_ITEMS: Final = _counter(
    "sdk_items",
    "{item}",
    "Spans and data points for exporters of other packages by outcome: delivered, dropped here, replaced by newer ones.",
    *("exporter", "signal", "outcome"),
)
SDK_DROPPED: Final = _counter(
    "sdk_dropped",
    "{item}",
    "Spans and data points for exporters of other packages that were lost, by reason.",
    *("exporter", "signal", "reason"),
)
SDK_ATTEMPTS: Final = _counter(
    "sdk_attempts",
    "{attempt}",
    "Calls of exporters of other packages by outcome: delivered, failed (will be retried), refused (will not be retried).",
    *("exporter", "signal", "outcome"),
)
SDK_FAILURES: Final = _counter(
    "sdk_failures", "{attempt}", "Calls of exporters of other packages that failed, by reason.", *("exporter", "signal", "reason")
)
SDK_QUEUE: Final = _gauge("sdk_queue", "By", "Size of the queue before an exporter of another package.", "exporter", "signal")
SDK_QUEUE_ITEMS: Final = _gauge(
    "sdk_queue_items", "{item}", "Spans and data points in the queue before an exporter of another package.", "exporter", "signal"
)
LOG_LINES_DROPPED: Final = _counter(
    "log_lines_dropped", "{line}", "Lines of the log that were dropped because the reader of stderr did not take them in time."
)
PROCESS_CPU: Final = _process("counter", "cpu", "s", "Processor time the process has used.")
PROCESS_RESIDENT: Final = _process("gauge", "resident_memory", "By", "Resident memory of the process.")
PROCESS_VIRTUAL: Final = _process("gauge", "virtual_memory", "By", "Virtual memory of the process.")
PROCESS_OPEN_FDS: Final = _process("gauge", "open_fds", "{fd}", "File descriptors open.")
PROCESS_MAX_FDS: Final = _process("gauge", "max_fds", "{fd}", "File descriptors allowed.")
PROCESS_START: Final = _process("gauge", "start_time", "s", "When the process started, in unix time.")

SELF_METRICS: Final[tuple[MetricSpec, ...]] = (
    BUILD_INFO,
    FRAMES_RECEIVED,
    FRAMES,
    FRAMES_REJECTED,
    FRAMES_TRUNCATED,
    EVENTS,
    UNKNOWN_EVENTS,
    UNKNOWN_FIELDS,
    VALUES_REFUSED,
    LABEL_OVERFLOW,
    LABEL_MASKED,
    SERIES,
    CONNECTIONS,
    CONNECTIONS_ACTIVE,
    CONNECTIONS_REFUSED,
    EVENT_LAG,
    CLOCK_SKEW,
    LOOP_LAG,
    RENDER_DURATION,
    SCRAPE_SIZE,
    TAPS_ACTIVE,
    TAP_DROPPED,
    TAP_REPEATED,
    UPSTREAM_CONNECT,
    UPSTREAM_FAILURES,
    RELAY_DELAY,
    RELAY_DROPPED,
    OTLP_ITEMS,
    OTLP_DROPPED,
    OTLP_ATTEMPTS,
    OTLP_FAILURES,
    OTLP_FOREIGN_ANSWERS,
    OTLP_QUEUE,
    OTLP_QUEUE_ITEMS,
    OTLP_DISK_ERRORS,
    OTLP_DISK_DAMAGED,
    SDK_ITEMS,
    SDK_DROPPED,
    SDK_ATTEMPTS,
    SDK_FAILURES,
    SDK_QUEUE,
    SDK_QUEUE_ITEMS,
    LOG_LINES_DROPPED,
    PROCESS_CPU,
    PROCESS_RESIDENT,
    PROCESS_VIRTUAL,
    PROCESS_OPEN_FDS,
    PROCESS_MAX_FDS,
    PROCESS_START,
)
_TABLES: Final[dict[MetricSpec, tuple[str, ...]]] = {UNKNOWN_EVENTS: ("event",), UNKNOWN_FIELDS: ("field",)}
"""The tables of label values that bound metrics whose labels carry names from the wire."""
FROM_ZERO: Final[dict[MetricSpec, tuple[str, ...]]] = {
    LABEL_OVERFLOW: ("agent", "model", "series"),
    LABEL_MASKED: ("agent", "model"),
    UPSTREAM_FAILURES: ("unreachable", "timeout", "no_answer", "refused"),
    RELAY_DROPPED: ("overflow", "protocol", "error"),
    TAP_DROPPED: ("overflow", "too_large", "unreadable"),
}
"""Faults that are exported as 0 before the first one happens. A series that starts at 1 has no increase, so no alert would fire."""


class SenderMetrics:
    """A handle on the metrics of all senders of one kind."""

    def __init__(
        self,
        store: Store,
        *,
        items: MetricSpec,
        dropped: MetricSpec,
        attempts: MetricSpec,
        failures: MetricSpec,
        queue: MetricSpec,
        queue_items: MetricSpec,
    ) -> None:
        self.items, self.dropped = Instrument(store, items), Instrument(store, dropped)
        self.attempts, self.failures = Instrument(store, attempts), Instrument(store, failures)
        self.queue, self.queue_items = Instrument(store, queue), Instrument(store, queue_items)


class SelfMetrics:
    """A handle on each of the exporter's own metrics. Those that the hot path changes are plain rows: the first cell is the count."""

    def __init__(self, store: Store, now: float) -> None:
        for spec in SELF_METRICS:
            store.add_layout([spec], reserved=True, tables=_TABLES.get(spec, ()))
        self._store = store
        self._now = now
        self.frames_received: Row = self._row(FRAMES_RECEIVED)
        self.processed, self.ignored, self.rejected = (self._row(FRAMES, outcome=outcome) for outcome in OUTCOMES)
        self.rejected_by = {reason: self._row(FRAMES_REJECTED, reason=reason) for reason in REJECTION_REASONS}
        self.truncated = self._row(FRAMES_TRUNCATED)
        self.unknown_events = Instrument(store, UNKNOWN_EVENTS)
        self.unknown_fields = Instrument(store, UNKNOWN_FIELDS)
        self.values_refused = Instrument(store, VALUES_REFUSED)
        self.label_overflow = Instrument(store, LABEL_OVERFLOW)
        self.label_masked = Instrument(store, LABEL_MASKED)
        self.series = Instrument(store, SERIES)
        self.connections = self._row(CONNECTIONS)
        self.connections_active = Instrument(store, CONNECTIONS_ACTIVE)
        self.connections_refused = Instrument(store, CONNECTIONS_REFUSED)
        self.event_lag = Instrument(store, EVENT_LAG).observer(now=now)
        self.clock_skew = Instrument(store, CLOCK_SKEW)
        self.loop_lag = Instrument(store, LOOP_LAG)
        self.render_duration = Instrument(store, RENDER_DURATION)
        self.scrape_size = Instrument(store, SCRAPE_SIZE)
        self.taps_active = Instrument(store, TAPS_ACTIVE)
        self.tap_dropped = Instrument(store, TAP_DROPPED)
        self.tap_repeated = self._row(TAP_REPEATED)
        self.upstream_connect = Instrument(store, UPSTREAM_CONNECT)
        self.upstream_failures = Instrument(store, UPSTREAM_FAILURES)
        self.relay_delay = Instrument(store, RELAY_DELAY)
        self.relay_dropped = Instrument(store, RELAY_DROPPED)
        self.log_lines_dropped = Instrument(store, LOG_LINES_DROPPED)
        self._create_otlp(store)
        for spec, values in FROM_ZERO.items():
            (label,) = spec.labels
            for value in values:
                self._row(spec, **{label: value})
        self.connections_active.set(0)
        self.taps_active.set(0)
        self.log_lines_dropped.set(0)
        self.series.set(0)

    def _create_otlp(self, store: Store) -> None:
        self.otlp = SenderMetrics(
            store,
            items=OTLP_ITEMS,
            dropped=OTLP_DROPPED,
            attempts=OTLP_ATTEMPTS,
            failures=OTLP_FAILURES,
            queue=OTLP_QUEUE,
            queue_items=OTLP_QUEUE_ITEMS,
        )
        self.sdk = SenderMetrics(
            store,
            items=SDK_ITEMS,
            dropped=SDK_DROPPED,
            attempts=SDK_ATTEMPTS,
            failures=SDK_FAILURES,
            queue=SDK_QUEUE,
            queue_items=SDK_QUEUE_ITEMS,
        )
        self.otlp_foreign_answers = Instrument(store, OTLP_FOREIGN_ANSWERS)
        self.otlp_disk_errors = Instrument(store, OTLP_DISK_ERRORS)
        self.otlp_disk_damaged = Instrument(store, OTLP_DISK_DAMAGED)

    def events_row(self, event: str) -> Row:
        """The row that counts events of type ``event``."""
        return self._row(EVENTS, event=event)

    def build_info(self, version: str, python: str, build: str) -> None:
        """Export the version of the exporter and of Python, and whether the hot path is ``compiled`` or ``plain``."""
        Instrument(self._store, BUILD_INFO).set(1, version=version, python=python, build=build, now=self._now)

    def reject(self, reason: str) -> None:
        """Count a rejected frame by its reason."""
        self.rejected[0] += 1.0
        self.rejected_by[reason][0] += 1.0

    def process(self, spec: MetricSpec, value: float) -> None:
        """Set one of the process metrics to the value that the system reports."""
        Instrument(self._store, spec).set(value, now=self._now)

    def _row(self, spec: MetricSpec, **labels: str) -> Row:
        return Instrument(self._store, spec).row(now=self._now, **labels)
