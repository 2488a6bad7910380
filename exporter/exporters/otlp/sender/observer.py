"""What a sender tells of itself, for whoever counts it."""

from typing import Literal, Protocol

AttemptOutcome = Literal["delivered", "failed", "refused"]
"""``failed`` is tried again, ``refused`` is not."""


class SenderCounts(Protocol):
    """Counts of one signal. Called on the event loop; items are spans or data points.

    Every item taken on ends as exactly one of delivered, rejected, dropped or replaced, or is still queued.
    """

    def delivered(self, items: int) -> None:
        """The receiver has taken so many items."""

    def rejected(self, items: int) -> None:
        """The receiver has taken a request but not so many of its items; they are not sent again."""

    def dropped(self, reason: str, items: int) -> None:
        """So many items are lost.

        ``reason`` is one of :data:`DROP_REASONS` or why the receiver refuses them, as in :meth:`attempted`.
        """

    def replaced(self, items: int) -> None:
        """So many data points were not sent because newer ones of the same series were."""

    def attempted(self, outcome: AttemptOutcome, reason: str) -> None:
        """A request was made.

        ``reason`` says why it failed or was refused: ``connection``, ``timeout``, ``tls``, ``internal_error``, ``http_503``,
        ``http_4xx``, ``grpc_unavailable``, …; there are a few dozen. It is empty for one that was delivered.
        """

    def queued(self, items: int, size: int) -> None:
        """The queue now holds so many items and bytes."""

    def disk_failed(self) -> None:
        """The queue's directory could not be written or read."""

    def disk_damaged(self, places: int) -> None:
        """So many places in the queue's files could not be read; what stood there is lost."""


QUEUE_FULL = "queue_full"
TOO_LARGE = "too_large"
STOPPED = "stopped"
INTERNAL_ERROR = "internal_error"
DISK_DAMAGED = "disk_damaged"
DROP_REASONS = (QUEUE_FULL, TOO_LARGE, STOPPED, INTERNAL_ERROR, DISK_DAMAGED)
"""What the sender itself drops items for; a receiver's refusals come on top, each with its status."""
