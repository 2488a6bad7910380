"""Why a frame is rejected and why a value is refused."""

from enum import StrEnum

import msgspec


class RejectionReason(StrEnum):
    """Why a whole frame is rejected; the ``reason`` label of ``agentstack_exporter_frames_rejected_total``."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_FINITE = "not_finite"
    LONE_SURROGATE = "lone_surrogate"
    TOO_DEEP = "too_deep"
    NOT_OBJECT = "not_object"
    NO_TYPE = "no_type"
    TOO_FAST = "too_fast"
    BAD_ENVELOPE = "bad_envelope"
    TOO_MANY_CALLS = "too_many_calls"


class RefusalReason(StrEnum):
    """Why the value of a field is refused; the ``reason`` label of ``agentstack_exporter_values_refused_total``."""

    WRONG_TYPE = "wrong_type"
    SENTINEL = "sentinel"
    NEGATIVE = "negative"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    NOT_FINITE = "not_finite"
    LONE_SURROGATE = "lone_surrogate"
    TOO_DEEP = "too_deep"
    NOT_A_TIME = "not_a_time"
    NOT_APPLICABLE = "not_applicable"


class FrameRejected(Exception):  # noqa: N818 - an outcome, not an error of the exporter
    """The frame is not an event."""

    def __init__(self, reason: RejectionReason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class RefusedValue(msgspec.Struct, frozen=True, gc=False):
    """A field whose value was refused, and why. The value itself is not kept: it may be personal."""

    field: str
    reason: RefusalReason
