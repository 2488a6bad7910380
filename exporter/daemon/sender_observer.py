"""What senders report about themselves, in the exporter's own metrics."""

from exporter.exporters.otlp.sender.observer import DROP_REASONS, AttemptOutcome
from exporter.exporters.otlp.target import Signal
from exporter.metrics.self_metrics import SelfMetrics, SenderMetrics


class SdkObserver:
    """Counts what becomes of the data for an exporter of another package. It has no disk and no answers that could be foreign."""

    def __init__(self, metrics: SenderMetrics, **labels: str) -> None:
        self._metrics = metrics
        self._labels = labels
        self._queued_items = metrics.queue_items.row(now=0.0, **labels)
        self._queued_bytes = metrics.queue.row(now=0.0, **labels)

    def start_at_zero(self) -> None:
        """Create the series of losses before the first loss: ``increase()`` does not see a series that begins at 1."""
        for reason in DROP_REASONS:
            self._metrics.dropped.add(0, now=0.0, **self._labels, reason=reason)

    def delivered(self, items: int) -> None:
        """Count items that the receiver has accepted."""
        self._metrics.items.add(items, now=0.0, **self._labels, outcome="delivered")

    def rejected(self, items: int) -> None:
        """Count items that the receiver has rejected in an accepted request."""
        self._metrics.items.add(items, now=0.0, **self._labels, outcome="rejected")

    def dropped(self, reason: str, items: int) -> None:
        """Count lost items by reason."""
        self._metrics.items.add(items, now=0.0, **self._labels, outcome="dropped")
        self._metrics.dropped.add(items, now=0.0, **self._labels, reason=reason)

    def replaced(self, items: int) -> None:
        """Count data points that were replaced by newer ones."""
        self._metrics.items.add(items, now=0.0, **self._labels, outcome="replaced")

    def attempted(self, outcome: AttemptOutcome, reason: str) -> None:
        """Count a request by outcome, and by reason if it failed."""
        self._metrics.attempts.add(1, now=0.0, **self._labels, outcome=outcome)
        if outcome != "delivered":
            self._metrics.failures.add(1, now=0.0, **self._labels, reason=reason)

    def queued(self, items: int, size: int) -> None:
        """Set the size of the queue."""
        # Called with every turn, so the rows are kept; rows of the exporter's own metrics are never evicted.
        self._queued_items[0], self._queued_bytes[0] = items, size

    def foreign_answer(self) -> None:
        """An exporter of another package reads the answers itself."""

    def disk_failed(self) -> None:
        """There is no disk."""

    def disk_damaged(self, places: int) -> None:
        """There is no disk."""


class OtlpObserver(SdkObserver):
    """A :class:`exporter.exporters.otlp.sender.SenderObserver` of one signal that goes to an OTLP receiver."""

    def __init__(self, metrics: SelfMetrics, signal: Signal) -> None:
        super().__init__(metrics.otlp, signal=signal)
        self._all = metrics
        self._signal = signal

    def start_at_zero(self) -> None:
        """As for any sender; answers that are no OTLP response count as a loss too, because they may be one."""
        super().start_at_zero()
        self._all.otlp_foreign_answers.add(0, signal=self._signal)

    def foreign_answer(self) -> None:
        """Count an accepted request whose answer is no OTLP response."""
        self._all.otlp_foreign_answers.add(1, signal=self._signal)

    def disk_failed(self) -> None:
        """Count a failure of the queue's directory."""
        self._all.otlp_disk_errors.add(1, signal=self._signal)

    def disk_damaged(self, places: int) -> None:
        """Count damaged places in the queue's files."""
        self._all.otlp_disk_damaged.add(places, signal=self._signal)
