"""The types of numbers and times on the wire: unit, plausible range, and divisor for the base unit.

The JSON decoder checks the plausible range (``msgspec.Meta``), so every value that reaches a metric is plausible.
:mod:`exporter.protocol.decoder` refuses other values field by field. The ranges are wide: they refuse sentinels (−1) and values from
stale clock anchors (similar platforms sent delays above 200 s: livekit/agents#6093), but not slow calls.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta


@dataclass(frozen=True, slots=True)
class Quantity:
    """The unit of a wire field, as the protocol calls it, and the divisor for the base unit (1000 for milliseconds)."""

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
