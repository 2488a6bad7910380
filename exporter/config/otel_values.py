"""The values of the standard ``OTEL_*`` variables, read as the OpenTelemetry specification wants it.

An empty variable counts as unset, only ``true`` is true, and what cannot be understood is warned of and replaced by the default: a
telemetry variable that was meant for another program must not keep this one from starting. Source: the specification's
``configuration/sdk-environment-variables.md`` and ``protocol/exporter.md``.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar
from urllib.parse import unquote

T = TypeVar("T", bound=str)

MOST = 2**31 - 1
NO_LIMIT = 86_400.0
"""What a timeout of 0, which the specification reads as none, comes to: a day, in seconds."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Variables:
    """The environment, with a method for each type of value; what was wrong collects in ``warnings``.

    Methods take several names where a particular variable comes before a general one; the first that is set counts.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.warnings: list[str] = []

    def text(self, *names: str) -> tuple[str, str]:
        """The name of the variable that counts and its text; both empty if none is set."""
        for name in names:
            if text := self._environ.get(name, "").strip():
                return name, text
        return "", ""

    def boolean(self, *names: str) -> bool:
        """Whether a variable is ``true``, in any case; other words than ``true`` and ``false`` are warned of."""
        name, text = self.text(*names)
        if text.lower() not in {"", "true", "false"}:
            self.warn(name, f"{_shown(text)} is neither true nor false, taken as false")
        return text.lower() == "true"

    def word(self, default: T, choices: Sequence[T], *names: str) -> T:
        """One of a few words, in any case."""
        name, text = self.text(*names)
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        if text:
            self.warn(name, f"{_shown(text)} is none of {', '.join(choices)}; {default} is used")
        return default

    def whole(self, name: str, default: int | None, *, least: int = 0) -> int | None:
        """A whole number from ``least`` to 2³¹−1."""
        text = self.text(name)[1]
        if not text:
            return default
        if text.isascii() and text.isdigit() and len(text) < 11 and least <= int(text) <= MOST:
            return int(text)
        used = "no limit" if default is None else default
        self.warn(name, f"{_shown(text)} is not a whole number from {least} to {MOST}; {used} is used")
        return default

    def count(self, name: str, default: int, *, least: int = 1) -> int:
        """As :meth:`whole`, where there is a default."""
        number = self.whole(name, default, least=least)
        return default if number is None else number

    def ratio(self, name: str, default: float) -> float:
        """A number from 0 to 1."""
        text = self.text(name)[1]
        if re.fullmatch(r"[0-9]{0,9}(\.[0-9]{0,18})?([eE]-?[0-9]{1,2})?", text) and re.search("[0-9]", text):
            try:
                if float(text) <= 1.0:
                    return float(text)
            except ValueError:
                pass
        if text:
            self.warn(name, f"{_shown(text)} is not a number from 0 to 1; {default:g} is used")
        return default

    def interval(self, name: str, default: int, *, least: int = 0) -> float:
        """Milliseconds in the variable and as ``default``, seconds as the result."""
        return self.count(name, default, least=least) / 1000

    def timeout(self, default: int, *names: str) -> float:
        """As :meth:`interval`; 0 means no limit."""
        name = self.text(*names)[0] or names[0]
        return self.interval(name, default) or NO_LIMIT

    def attributes(self, name: str) -> tuple[tuple[str, str], ...]:
        """``key=value`` pairs between commas, percent-decoded. One bad pair discards all, as the specification asks."""
        text = self.text(name)[1]
        found: dict[str, str] = {}
        for place, pair in enumerate(_pairs(text), 1):
            key, equals, value = (part.strip() for part in pair.partition("="))
            decoded = _percent_decoded(key), _percent_decoded(value)
            if not equals or not decoded[0] or decoded[1] is None:
                self.warn(name, f"entry {place} is not key=value with percent-encoding; the variable is ignored")
                return ()
            found[decoded[0]] = decoded[1]
        return tuple(found.items())

    def headers(self, *names: str) -> tuple[tuple[str, str], ...]:
        """As :meth:`attributes`, but only bad entries are left out, and no warning holds what may be a credential."""
        name, text = self.text(*names)
        found: dict[str, str] = {}
        for place, pair in enumerate(_pairs(text), 1):
            key, equals, value = (part.strip() for part in pair.partition("="))
            decoded = _percent_decoded(value)
            if not equals or not _TOKEN.fullmatch(key) or decoded is None or not (decoded.isascii() and decoded.isprintable()):
                self.warn(name, f"entry {place} is not name=value in printable ASCII with percent-encoding; it is left out")
                continue
            found[key.lower()] = decoded
        return tuple(found.items())

    def warn(self, name: str, problem: str) -> None:
        """Take down what is wrong with a variable."""
        self.warnings.append(f"{name}: {problem}")


def _pairs(text: str) -> list[str]:
    return [pair for pair in text.split(",") if pair.strip()]


def _percent_decoded(text: str) -> str | None:
    """The text itself, or ``None`` where an escape is cut or does not give UTF-8."""
    if _BAD_ESCAPE.search(text):
        return None
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")


Exporter = Literal["auto", "on", "off"]


def exporters(variables: Variables, name: str, others: Sequence[str]) -> Exporter:
    """Whether OTLP is asked for (``on``), excluded (``off``), or left to whether there is an endpoint (``auto``).

    ``others`` are ways out that are not OTLP and need nothing from here, such as ``prometheus``.
    """
    words = [word.strip().lower() for word in variables.text(name)[1].split(",") if word.strip()]
    known = [word for word in words if word in {"otlp", "none", *others}]
    for word in words:
        if word not in known:
            variables.warn(name, f"{_shown(word)} is not supported, only {', '.join(['otlp', *others, 'none'])}")
    if "otlp" in known:
        return "on"
    return "off" if known or words else "auto"
