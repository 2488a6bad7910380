"""Units of panels: how Grafana writes a value, and what the axis says where the value alone does not say what it counts."""

from dataclasses import dataclass
from typing import Final, Literal

Unit = Literal["s", "minutes", "percentunit", "bytes", "dollars", "turns", "tokens", "count", "per minute", "calls", "cores", "factor"]


@dataclass(frozen=True, slots=True)
class Style:
    """How values of a unit are written. ``axis`` is the label of an axis whose ticks are plain numbers.

    ``decimals`` is 0 for things counted one by one: Prometheus estimates an increase, so 3 events may come out as 3.2.
    """

    grafana: str
    axis: str = ""
    decimals: int | None = None
    least: float = 1
    """The least upper end of an axis, so that a flat 0 looks like 0."""


STYLES: Final[dict[Unit, Style]] = {
    "s": Style("s", least=0.01),
    "minutes": Style("m"),
    "percentunit": Style("percentunit", least=0.05),
    "bytes": Style("bytes"),
    "dollars": Style("currencyUSD", "US dollars"),
    "turns": Style("locale", "turns", decimals=0),
    "tokens": Style("short", "tokens"),
    "count": Style("locale", "number", decimals=0),
    "per minute": Style("count:per min"),
    "calls": Style("none", "calls at once"),
    "cores": Style("none", "cores"),
    "factor": Style("none", "times"),
}
