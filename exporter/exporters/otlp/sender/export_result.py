"""The result of one attempt to export. Reading it from a response is apart, so that a start without OTLP needs no protobuf messages."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has accepted the request, except for ``rejected`` of its items. ``message`` says why, or is a warning.

    ``not_otlp`` says what the answer is, if it is no OTLP response. Then something else than a collector may have answered.
    """

    rejected: int = 0
    message: str = ""
    not_otlp: str = ""


@dataclass(frozen=True, slots=True)
class RetryableFailure:
    """The request should be sent again, not before ``retry_after`` seconds if the receiver has asked for a pause.

    ``reason`` is the label value in the metrics, ``detail`` the text in the log.
    """

    reason: str
    detail: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class PermanentFailure:
    """The request must not be sent again. ``reason`` and ``detail`` are as in :class:`RetryableFailure`.

    ``too_long`` says that the receiver refused its length, so that shorter ones may be accepted.
    """

    reason: str
    detail: str
    too_long: bool = False


ExportResult = Delivered | RetryableFailure | PermanentFailure
