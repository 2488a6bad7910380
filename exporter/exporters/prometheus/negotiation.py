"""Content negotiation: a scrape's format and compression from its ``Accept`` and ``Accept-Encoding`` headers.

The rules are those of RFC 9110, sections 12.4.2, 12.5.1 and 12.5.3, and of Prometheus's "Scrape protocol content negotiation". The
format with the highest weight wins. A format has the weight of the most specific media range that matches it; weight 0 excludes it.

Both sources leave ties to the server. A format that is asked for by name comes before one that only a wildcard matches. Among named
formats the richest comes first (protobuf, OpenMetrics 1.0.0, text 1.0.0, text 0.0.4), as in Prometheus. Among formats under a
wildcard the oldest comes first, because ``*/*`` is sent by curl and browsers, whose users want readable text. Protobuf is never sent
because of a wildcard: it is not readable, and it has to be asked for with its message and encoding.

Nothing here raises. An entry that cannot be parsed is ignored. If no entry is left, the format is text 0.0.4, as Prometheus
prescribes.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

MAX_HEADER = 4096
"""Number of characters of a header that are read. Prometheus sends about 250, a browser 150."""

ESCAPING_SCHEMES = ("underscores", "allow-utf-8", "values")
"""Escaping schemes that a response may name. All metric names are valid legacy names, which these schemes do not change. ``dots``
would double every underscore, so a scraper that asks for it gets ``underscores``."""

_WEIGHT = re.compile(r"0\.?|0?\.[0-9]+|1(\.0*)?")

_EXACT = 3


class Format(Enum):
    """An exposition format: its media type and version, poorest first. The protobuf has no version."""

    TEXT_0_0_4 = ("text/plain", "0.0.4")
    TEXT_1_0_0 = ("text/plain", "1.0.0")
    OPENMETRICS_1_0_0 = ("application/openmetrics-text", "1.0.0")
    PROTOBUF = ("application/vnd.google.protobuf", "")

    @property
    def media_type(self) -> str:
        """The media type without parameters."""
        return self.value[0]

    @property
    def version(self) -> str:
        """The version parameter."""
        return self.value[1]

    @property
    def content_type(self) -> str:
        """The value of the ``Content-Type`` header without an escaping scheme."""
        if self is Format.PROTOBUF:
            return "; ".join([self.media_type, *(f"{name}={value}" for name, value in _PROTOBUF.items())])
        return f"{self.media_type}; version={self.version}; charset=utf-8"


TEXT_FORMATS = (Format.TEXT_0_0_4, Format.TEXT_1_0_0, Format.OPENMETRICS_1_0_0)
"""The formats that people can read too."""
_PROTOBUF = {"proto": "io.prometheus.client.MetricFamily", "encoding": "delimited"}
"""The parameters with which the protobuf has to be asked for: other messages and encodings have the same media type."""
_AGES = {text_format: age for age, text_format in enumerate(reversed(Format))}
"""0 for the richest format."""


@dataclass(frozen=True, slots=True)
class NegotiatedFormat:
    """The format, and the escaping scheme, which is named from version 1.0.0 on (empty before)."""

    format: Format
    escaping: str = ""

    @property
    def content_type(self) -> str:
        """The value of the ``Content-Type`` header."""
        return self.format.content_type + (f"; escaping={self.escaping}" if self.escaping else "")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One element of a header: a media range or a content coding, its parameters, and its weight (0 to 1)."""

    name: str
    parameters: dict[str, str]
    weight: float


@dataclass(frozen=True, slots=True)
class _Match:
    """A format, and the most specific header entry that matches it."""

    format: Format
    entry: _Entry
    specificity: int

    @property
    def rank(self) -> tuple[float, bool, int]:
        """The match with the highest rank wins: by weight, then named formats first, then by age."""
        named = self.specificity == _EXACT
        age = -_AGES[self.format] if named else _AGES[self.format]
        return self.entry.weight, named, age


def negotiate(accept: str) -> NegotiatedFormat:
    """The format for an ``Accept`` header, empty if there is none; never raises."""
    entries = list(_entries(accept))
    matches = [match for text_format in Format if (match := _most_specific(entries, text_format)) and match.entry.weight > 0]
    if not matches:
        return NegotiatedFormat(Format.TEXT_0_0_4)
    best = max(matches, key=lambda match: match.rank)
    return NegotiatedFormat(best.format, "" if best.format is Format.TEXT_0_0_4 else _escaping(best.entry))


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the body is sent as gzip: the scraper accepts it, and does not prefer an uncompressed body."""
    weights = {entry.name: entry.weight for entry in _entries(accept_encoding)}
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _escaping(entry: _Entry) -> str:
    scheme = entry.parameters.get("escaping", "")
    return scheme if scheme in ESCAPING_SCHEMES else ESCAPING_SCHEMES[0]


def _most_specific(entries: Iterable[_Entry], text_format: Format) -> _Match | None:
    """The match with the highest specificity, the first one among equals; ``None`` if no entry matches the format."""
    matches = (_Match(text_format, entry, _specificity(entry, text_format)) for entry in entries)
    return max((match for match in matches if match.specificity >= 0), key=lambda match: match.specificity, default=None)


def _specificity(entry: _Entry, text_format: Format) -> int:
    """How the entry matches the format: 3 exactly, 2 by its type, 1 by ``type/*``, 0 by ``*/*``, -1 not at all."""
    if text_format is Format.PROTOBUF:
        named = entry.name == text_format.media_type and _PROTOBUF.items() <= entry.parameters.items()
        return _EXACT if named else -1
    if entry.name == text_format.media_type:
        version = entry.parameters.get("version", "")
        if not version:
            # There are two text formats, so a text type without a version is not exact. There is only one OpenMetrics format.
            return _EXACT if text_format is Format.OPENMETRICS_1_0_0 else 2
        return _EXACT if version == text_format.version else -1
    if entry.name == text_format.media_type.partition("/")[0] + "/*":
        return 1
    return 0 if entry.name == "*/*" else -1


def _entries(header: str) -> Iterator[_Entry]:
    if len(header) > MAX_HEADER:
        # The entry at the limit is ignored too: the part before the limit could have another meaning.
        header = header[:MAX_HEADER].rpartition(",")[0]
    for element in header.split(","):
        name, *rest = (part.strip() for part in element.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        weight = parameters.get("q", "1")
        if name and _WEIGHT.fullmatch(weight):
            yield _Entry(name.lower(), parameters, float(weight))
