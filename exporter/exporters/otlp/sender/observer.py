"""What a sender reports about itself."""

from typing import Final, Literal, Protocol

AttemptOutcome = Literal["delivered", "failed", "refused"]
"""``failed`` is retried; ``refused`` is not."""
DropReason = Literal["queue_full", "too_large", "stopped", "internal_error", "disk_damaged"]

QUEUE_FULL: Final = "queue_full"
TOO_LARGE: Final = "too_large"
STOPPED: Final = "stopped"
INTERNAL_ERROR: Final = "internal_error"
DISK_DAMAGED: Final = "disk_damaged"
DROP_REASONS: Final[tuple[DropReason, ...]] = (QUEUE_FULL, TOO_LARGE, STOPPED, INTERNAL_ERROR, DISK_DAMAGED)
"""Why the sender itself drops items. A receiver's permanent failures have reasons of their own, each with its status."""


class SenderObserver(Protocol):
    """Is told what a sender of one signal does. Called on the event loop; items are spans or data points.

    Every accepted item ends as exactly one of delivered, rejected, dropped or replaced, or is still queued.
    """

    def delivered(self, items: int) -> None:
        """The receiver has accepted ``items`` items."""

    def rejected(self, items: int) -> None:
        """The receiver has accepted a request except for ``items`` of its items. They are not sent again."""

    def dropped(self, reason: str, items: int) -> None:
        """``items`` items are lost.

        ``reason`` is one of :data:`DROP_REASONS`, or that of a permanent failure, as in :meth:`attempted`.
        """

    def replaced(self, items: int) -> None:
        """``items`` data points were not sent because newer points of the same series were."""

    def attempted(self, outcome: AttemptOutcome, reason: str) -> None:
        """A request was sent.

        ``reason`` says why it failed or was refused: ``connection``, ``timeout``, ``tls``, ``internal_error``, ``http_503``,
        ``http_4xx``, ``grpc_unavailable``, and a few dozen others. It is empty for a delivered request.
        """

    def foreign_answer(self) -> None:
        """A request was accepted with an answer that is no OTLP response."""

    def queued(self, items: int, size: int) -> None:
        """The queue now holds ``items`` items in ``size`` bytes."""

    def disk_failed(self) -> None:
        """The queue's directory could not be written or read."""

    def disk_damaged(self, places: int) -> None:
        """``places`` places in the queue's files could not be read; what was written there is lost."""
