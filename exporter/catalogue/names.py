"""OTel metric name and UCUM unit → the metric's name in Prometheus.

The rules are those of Prometheus's own translation from OTLP (otlptranslator, strategy
UnderscoreEscapingWithSuffixes): characters other than letters, digits and ``:`` become one underscore, the unit's long form is
appended unless the name already holds it, a counter ends in ``_total`` and a gauge of unit ``1`` in ``_ratio``.
Source: prometheus/otlptranslator, ``metric_namer.go`` and ``unit_namer.go``.
"""

import re
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]

_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes", "m": "meters",
    "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius", "Hz": "hertz",
    "1": "", "%": "percent",
}  # fmt: skip
_PER_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}


def unit_words(unit: str) -> tuple[str, str]:
    """The words that a UCUM unit adds to a name: its main part and its ``per_…`` part; either may be empty."""
    main, _, per = unit.partition("/")
    main_word = "" if "{" in main else _UNITS.get(main.strip(), _clean(main))
    per_word = "" if not per or "{" in per else "per_" + _PER_UNITS.get(per.strip(), _clean(per))
    return main_word, per_word


def scraped_name(otel_name: str, unit: str, kind: Kind) -> str:
    """The name under which Prometheus stores the OTel metric ``otel_name`` of ``unit`` and ``kind``."""
    tokens = [token for token in re.split(r"[^a-zA-Z0-9:]+", otel_name) if token]
    for word in unit_words(unit):
        missing = [part for part in _split(word) if part not in tokens]
        tokens += missing if word != "" else []
    if kind == "counter":
        tokens = [token for token in tokens if token != "total"] + ["total"]
    if kind == "gauge" and unit == "1":
        tokens = [token for token in tokens if token != "ratio"] + ["ratio"]
    return "_".join(tokens)


def scraped_label(attribute: str) -> str:
    """The label under which Prometheus stores an OTel attribute."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", attribute)


def _clean(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "_", text).strip("_")


def _split(word: str) -> list[str]:
    return [word] if word else []
