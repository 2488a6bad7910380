"""A sender's observer that keeps what it is told, for tests to look at."""

from collections import Counter

from exporter.exporters.otlp.sender.observer import AttemptOutcome


class RecordingObserver:
    """A :class:`exporter.exporters.otlp.sender.SenderObserver` that adds up what it is told."""

    def __init__(self) -> None:
        self.items: Counter[str] = Counter()
        self.drops: Counter[str] = Counter()
        self.attempts: Counter[AttemptOutcome] = Counter()
        self.reasons: Counter[str] = Counter()
        self.queue = (0, 0)
        self.largest_queue = 0
        self.disk_failures = 0
        self.damaged = 0
        self.foreign_answers = 0

    def delivered(self, items: int) -> None:
        self.items["delivered"] += items

    def rejected(self, items: int) -> None:
        self.items["rejected"] += items

    def dropped(self, reason: str, items: int) -> None:
        self.items["dropped"] += items
        self.drops[reason] += items

    def replaced(self, items: int) -> None:
        self.items["replaced"] += items

    def attempted(self, outcome: AttemptOutcome, reason: str) -> None:
        self.attempts[outcome] += 1
        if reason:
            self.reasons[reason] += 1

    def foreign_answer(self) -> None:
        self.foreign_answers += 1

    def queued(self, items: int, size: int) -> None:
        self.queue = (items, size)
        self.largest_queue = max(self.largest_queue, size)

    def disk_failed(self) -> None:
        self.disk_failures += 1

    def disk_damaged(self, places: int) -> None:
        self.damaged += places
