"""The types of numbers and times on the wire: their unit, what of it is plausible, and how it becomes a base unit.

The plausible range is checked by the JSON decoder itself (``msgspec.Meta``), so a value that reaches a metric is plausible; what
lies outside is refused field by field in :mod:`exporter.protocol.decoder`. Ranges are wide: they keep out sentinels (−1) and values
from stale
anchors (delays above 200 s were seen at neighbours: livekit/agents#6093), not merely slow calls.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

INT64_EDGE = 2.0**63
"""Integers from here on are not numbers anyone measured: a frame that has one is rejected whole."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """The unit of a wire field in the protocol's words, and by how much to divide for the base unit (1000 for milliseconds)."""

    wire_unit: str
    divisor: float = 1.0


_MS = Quantity("milliseconds", 1000.0)
_S = Quantity("seconds")

LatencyMs = Annotated[float, Meta(ge=0, le=120_000), _MS]
DurationMs = Annotated[float, Meta(ge=0, le=14_400_000), _MS]
OffsetMs = Annotated[float, Meta(ge=0, le=604_800_000), _MS]
LatencyS = Annotated[float, Meta(ge=0, le=120), _S]
DurationS = Annotated[float, Meta(ge=0, le=86_400), _S]
Tokens = Annotated[float, Meta(ge=0, le=100_000_000), Quantity("tokens")]
TokensPerSecond = Annotated[float, Meta(ge=0, le=100_000), Quantity("tokens/second")]
Characters = Annotated[float, Meta(ge=0, le=10_000_000), Quantity("characters")]
Count = Annotated[float, Meta(ge=0, le=10_000_000), Quantity("count")]
Ordinal = Annotated[float, Meta(ge=0, le=10_000_000), Quantity("ordinal")]
Ratio = Annotated[float, Meta(ge=0, le=1), Quantity("ratio 0..1")]
WordsPerSecond = Annotated[float, Meta(ge=0, le=50), Quantity("words/second")]
Hertz = Annotated[float, Meta(ge=0, le=1_000_000), Quantity("hertz")]
UnixTime = Annotated[float, Meta(ge=1_000_000_000, le=10_000_000_000), Quantity("unix seconds")]
DateTime = Annotated[datetime, Meta(tz=True), Quantity("RFC 3339 date-time")]
Json = Any
"""Any JSON: arguments, results, transcripts."""
