"""The protocol's sample events."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.traced import RECEIPT

SAMPLES: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parents[1] / "data" / "samples.jsonl").read_text(encoding="utf-8").splitlines()
]
CALL = [
    sample["event"] for sample in SAMPLES[: 1 + next(i for i, s in enumerate(SAMPLES) if s["event"].get("type") == "session.ended")]
]
"""The events of the whole call."""


def noted(note: str) -> dict[str, Any]:
    """The event with that note."""
    (found,) = [sample["event"] for sample in SAMPLES if sample["note"] == note]
    return dict(found)


def events(call: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], float]]:
    """The events with their time of receipt: 0.1 s after the latest timestamp so far."""
    receipt = RECEIPT - 10
    for event in call:
        stamp = event.get("timestamp") or event.get("agent_stopped_speaking_at") or event.get("ended_at")
        if stamp:
            receipt = max(receipt, datetime.fromisoformat(stamp).timestamp() + 0.1)
        yield event, receipt
