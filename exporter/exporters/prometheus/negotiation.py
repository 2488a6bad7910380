"""Which exposition format and which coding a scraper gets, from its ``Accept`` and ``Accept-Encoding`` headers.

The rules are those of RFC 9110, sections 12.4.2, 12.5.1 and 12.5.3, and of Prometheus's "Scrape protocol content negotiation":
of the formats we have, the one with the highest weight; the weight of a format is that of the most specific range that covers
it; weight 0 excludes. Both leave ties to the server. Among equals we take a format that is asked for by its name before one
that only a wildcard covers; among named ones the newest (OpenMetrics 1.0.0, text 1.0.0, text 0.0.4), as Prometheus orders
them; among those under a wildcard the oldest, because whoever says ``*/*`` (curl, a browser) wants something readable.

Nothing here raises: an entry that cannot be understood is passed over, and where no entry is left the answer is text 0.0.4,
the last resort that Prometheus prescribes.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from operator import itemgetter

MAX_HEADER = 4096
"""How many characters of a header are read; Prometheus sends about 250, a browser 150."""

ESCAPING_SCHEMES = ("underscores", "allow-utf-8", "values")
"""The schemes we may name in an answer. All our names are valid legacy names, which these three leave as they are; ``dots``
would double every underscore, so whoever asks for it is told that underscores were used."""

_WEIGHT = re.compile(r"0\.?|0?\.[0-9]+|1(\.0*)?")

_EXACT = 3


class Format(Enum):
    """An exposition format: its media type and version, oldest first."""

    TEXT_0_0_4 = ("text/plain", "0.0.4")
    TEXT_1_0_0 = ("text/plain", "1.0.0")
    OPENMETRICS_1_0_0 = ("application/openmetrics-text", "1.0.0")

    @property
    def media_type(self) -> str:
        """The media type without parameters."""
        return self.value[0]

    @property
    def version(self) -> str:
        """The version parameter."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: the format, and the escaping scheme to be named from version 1.0.0 on (empty before)."""

    format: Format
    escaping: str = ""

    @property
    def content_type(self) -> str:
        """The value of the ``Content-Type`` header."""
        scheme = f"; escaping={self.escaping}" if self.escaping else ""
        return f"{self.format.media_type}; version={self.format.version}; charset=utf-8{scheme}"


@dataclass(frozen=True, slots=True)
class _Entry:
    """One element of a header: a media range or a coding, its parameters, its weight (0 to 1)."""

    name: str
    parameters: dict[str, str]
    weight: float


def negotiate(accept: str) -> Answer:
    """The format for an ``Accept`` header (empty when there was none); never raises."""
    entries = list(_entries(accept))
    candidates = []
    for age, candidate in enumerate(reversed(Format)):
        specificity, entry = _most_specific(entries, candidate)
        if entry is not None and entry.weight > 0:
            named = specificity == _EXACT
            candidates.append(((entry.weight, named, -age if named else age), candidate, entry))
    if not candidates:
        return Answer(Format.TEXT_0_0_4)
    _, best, asked = max(candidates, key=itemgetter(0))
    return Answer(best, "" if best is Format.TEXT_0_0_4 else _escaping(asked))


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the body is to be sent as gzip: it is acceptable, and not less welcome than no coding at all."""
    weights = {entry.name: entry.weight for entry in _entries(accept_encoding)}
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _escaping(asked: _Entry) -> str:
    scheme = asked.parameters.get("escaping", "")
    return scheme if scheme in ESCAPING_SCHEMES else ESCAPING_SCHEMES[0]


def _most_specific(entries: Iterable[_Entry], candidate: Format) -> tuple[int, _Entry | None]:
    found: tuple[int, _Entry | None] = (-1, None)
    for entry in entries:
        specificity = _specificity(entry, candidate)
        if specificity > found[0]:
            found = (specificity, entry)
    return found


def _specificity(entry: _Entry, candidate: Format) -> int:
    """How closely the entry describes the format: 3 exactly, 2 by its type, 1 by ``type/*``, 0 by ``*/*``, -1 not at all."""
    if entry.name == candidate.media_type:
        version = entry.parameters.get("version", "")
        if not version:
            # There is one OpenMetrics we have, but two texts: without a version neither is meant exactly.
            return _EXACT if candidate is Format.OPENMETRICS_1_0_0 else 2
        return _EXACT if version == candidate.version else -1
    if entry.name == candidate.media_type.partition("/")[0] + "/*":
        return 1
    return 0 if entry.name == "*/*" else -1


def _entries(header: str) -> Iterator[_Entry]:
    if len(header) > MAX_HEADER:
        # The entry that the limit cuts in two goes with the rest: half of it could mean something else.
        header = header[:MAX_HEADER].rpartition(",")[0]
    for element in header.split(","):
        name, *rest = (part.strip() for part in element.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        weight = parameters.get("q", "1")
        if name and _WEIGHT.fullmatch(weight):
            yield _Entry(name.lower(), parameters, float(weight))
