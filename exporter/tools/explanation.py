"""What a replay says about a line, or about a whole recording: which series changed, and why a value was refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from exporter.metrics.self_metrics import EVENTS, FRAMES, FRAMES_REJECTED, UNKNOWN_EVENTS, UNKNOWN_FIELDS, VALUES_REFUSED
from exporter.metrics.snapshot import HistogramPoint
from exporter.metrics.store import Change
from exporter.protocol.reasons import RefusalReason, RejectionReason

WHY_REFUSED: Final[dict[str, str]] = {
    RefusalReason.WRONG_TYPE: "its type is not the one in the protocol",
    RefusalReason.SENTINEL: "a stage reports -1 if it measured nothing",
    RefusalReason.NEGATIVE: "it is below zero",
    RefusalReason.TOO_LARGE: "it is implausibly large, as from a stale clock anchor",
    RefusalReason.TOO_SMALL: "it is implausibly small",
    RefusalReason.NOT_FINITE: "JSON has no NaN or Infinity",
    RefusalReason.LONE_SURROGATE: "it holds half a surrogate pair, as a text that was cut inside an emoji",
    RefusalReason.TOO_DEEP: "it is nested too deep",
    RefusalReason.NOT_A_TIME: "it is not an RFC 3339 date-time with a time zone",
    RefusalReason.NOT_APPLICABLE: "turns that the agent began have none",
}
WHY_REJECTED: Final[dict[str, str]] = {
    RejectionReason.EMPTY: "the frame is empty",
    RejectionReason.TOO_LARGE: "the event has too many parts, or is longer than 512 KiB",
    RejectionReason.NOT_UTF8: "the frame is not UTF-8",
    RejectionReason.NOT_JSON: "the frame is not JSON",
    RejectionReason.NOT_FINITE: "the event's name is NaN or Infinity, which JSON does not have",
    RejectionReason.LONE_SURROGATE: "the event's name holds half a surrogate pair",
    RejectionReason.TOO_DEEP: "the nesting is too deep",
    RejectionReason.NOT_OBJECT: "the frame is JSON, but not an object",
    RejectionReason.NO_TYPE: "the event has no name: expected type or event",
    RejectionReason.BAD_ENVELOPE: "the message of a tap is not an envelope",
    RejectionReason.TOO_MANY_CALLS: "the tap carries too many calls at the same time",
    RejectionReason.TOO_FAST: "the connection exceeds --max-message-rate",
}
_SELF = "agentstack_exporter_"


@dataclass(frozen=True, slots=True)
class Explained:
    """The explanation of one line, or of all lines. ``moved`` maps each series that changed to its increase or observations."""

    line: int
    event: str
    outcome: str
    moved: dict[str, str]
    notes: tuple[str, ...]

    def as_text(self) -> str:
        """The explanation for people to read, in several lines."""
        where = f"line {self.line}: " if self.line else ""
        outcome = f" {self.outcome}" if self.outcome else ""
        details = [f"  {note}" for note in self.notes]
        details += [f"  {series} {movement}" for series, movement in self.moved.items()]
        return "\n".join([f"{where}{self.event}{outcome}", *details])

    def as_json(self) -> str:
        """The explanation as a JSON object."""
        return msgspec.json.encode(self).decode()


def explain(line: int, event: str, changed: list[Change]) -> Explained:
    """Explain what a line changed."""
    notes = tuple(note for change in changed for note in _notes(change))
    return Explained(line, event, _outcome(changed), _moved(changed), notes)


def explain_all(changed: list[Change]) -> Explained:
    """Explain what a whole recording changed, with the number of events of each type."""
    changed = sorted(changed, key=lambda change: (change.spec.name, change.labels))
    events = [f"{_labels(change)['event']} processed{_times(change)}" for change in changed if change.spec.name == EVENTS.name]
    notes = [note for change in changed for note in _notes(change)]
    return Explained(0, "all events", "", _moved(changed), (*events, *notes))


def _moved(changed: list[Change]) -> dict[str, str]:
    return {_series(change): _movement(change) for change in changed if not change.spec.name.startswith(_SELF)}


def _outcome(changed: list[Change]) -> str:
    return next((_labels(change)["outcome"] for change in changed if change.spec.name == FRAMES.name), "")


def _labels(change: Change) -> dict[str, str]:
    return {name: value for name, value in zip(change.spec.scraped_labels, change.labels, strict=True) if value}


def _notes(change: Change) -> Iterator[str]:
    labels, name = _labels(change), change.spec.name
    times = _times(change)
    if name == VALUES_REFUSED.name:
        yield f"{labels['field']} refused as {labels['reason']}{times}: {WHY_REFUSED.get(labels['reason'], '')}"
    elif name == FRAMES_REJECTED.name:
        yield f"rejected as {labels['reason']}{times}: {WHY_REJECTED.get(labels['reason'], 'internal error of the exporter')}"
    elif name == UNKNOWN_EVENTS.name:
        yield f"unknown event{times}: {labels['event']}"
    elif name == UNKNOWN_FIELDS.name:
        yield f"unknown field{times}: {labels['field']}"


def _times(change: Change) -> str:
    """How often something happened, unless it was once."""
    if isinstance(change.after, HistogramPoint):
        return ""
    times = change.after - (change.before if isinstance(change.before, float) else 0.0)
    return "" if times == 1 else f" {times:.0f} times"


def _movement(change: Change) -> str:
    before, after = change.before, change.after
    if isinstance(after, HistogramPoint):
        past = before if isinstance(before, HistogramPoint) else HistogramPoint((), 0.0)
        times = sum(after.counts) - sum(past.counts)
        total = after.sum - past.sum
        return f"observed {total:.6g}" if times == 1 else f"observed {times} values, {total:.6g} in all"
    past_value = before if isinstance(before, float) else 0.0
    return f"{after - past_value:+.6g}"


def _series(change: Change) -> str:
    labels = ",".join(f'{label}="{value}"' for label, value in _labels(change).items())
    return change.spec.name + (f"{{{labels}}}" if labels else "")
