"""Reads the values of the standard ``OTEL_*`` variables as the OpenTelemetry specification requires.

An empty variable counts as unset, and only ``true`` is true. A value that cannot be parsed gives a warning and is replaced by the
default: a variable that was meant for another program must not keep the exporter from starting. Source: the specification's
``configuration/sdk-environment-variables.md`` and ``protocol/exporter.md``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeVar
from urllib.parse import unquote

from exporter.config.otel_names import misspelled

T = TypeVar("T", bound=str)

MAX_INT: Final = 2**31 - 1
NO_TIMEOUT: Final = 86_400.0
"""Stands for a timeout of 0, which the specification reads as no limit: a day, in seconds."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Variable(NamedTuple):
    """A variable's name and its text; both are empty if no variable is set."""

    name: str
    text: str


class EnvironmentReader:
    """The environment, with one method for each type of value. ``warnings`` collects what was wrong.

    A method that takes several names uses the first variable that is set, so a signal's own variable comes before the general one.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._asked: set[str] = set()
        self.warnings: list[str] = []

    def variable(self, *names: str) -> Variable:
        """The first of the variables that is set."""
        self._asked.update(names)
        for name in names:
            if text := self._environ.get(name, "").strip():
                return Variable(name, text)
        return Variable("", "")

    def warn_of_misspelled(self) -> None:
        """Warn of variables whose names look like those that were asked for."""
        for name, meant in misspelled(self._environ, self._asked):
            self.warn(name, f"no such variable is known, so it has no effect; did you mean {meant}?")

    def text(self, *names: str) -> str:
        """The text of the first variable that is set; empty if none is."""
        return self.variable(*names).text

    def either_case(self, name: str) -> Variable:
        """A variable that is written in lower or in upper case, as ``http_proxy``. Lower case wins, even if it is empty."""
        for spelling in (name, name.upper()):
            if spelling in self._environ:
                return Variable(spelling, self._environ[spelling].strip())
        return Variable("", "")

    def names(self, name: str) -> tuple[str, ...]:
        """A list of names, separated by commas; each counts once."""
        return tuple(dict.fromkeys(word.strip() for word in self.text(name).split(",") if word.strip()))

    def boolean(self, *names: str) -> bool:
        """Whether a variable is ``true``, in any case. Other words than ``true`` and ``false`` give a warning."""
        name, text = self.variable(*names)
        if text.lower() not in {"", "true", "false"}:
            self.warn(name, f"{_shown(text)} is neither true nor false; false is used")
        return text.lower() == "true"

    def word(self, default: T, choices: Sequence[T], *names: str) -> T:
        """One of ``choices``, in any case."""
        name, text = self.variable(*names)
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        if text:
            self.warn(name, f"{_shown(text)} is not one of {', '.join(choices)}; {default} is used")
        return default

    def integer(self, name: str, default: int | None, *, least: int = 0) -> int | None:
        """An integer from ``least`` to 2³¹−1."""
        text = self.text(name)
        if not text:
            return default
        if text.isascii() and text.isdigit() and len(text) < 11 and least <= int(text) <= MAX_INT:
            return int(text)
        used = "no limit" if default is None else default
        self.warn(name, f"{_shown(text)} is not an integer from {least} to {MAX_INT}; {used} is used")
        return default

    def count(self, name: str, default: int, *, least: int = 1) -> int:
        """As :meth:`integer`, with a default."""
        number = self.integer(name, default, least=least)
        return default if number is None else number

    def ratio(self, name: str, default: float) -> float:
        """A number from 0 to 1."""
        text = self.text(name)
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
        """A duration: milliseconds in the variable and in ``default``, seconds in the result."""
        return self.count(name, default, least=least) / 1000

    def timeout(self, default: int, *names: str) -> float:
        """As :meth:`interval`; 0 means no limit."""
        name = self.variable(*names).name or names[0]
        return self.interval(name, default) or NO_TIMEOUT

    def attributes(self, name: str) -> tuple[tuple[str, str], ...]:
        """``key=value`` pairs separated by commas, percent-decoded. As in the SDK, a bad pair discards only itself."""
        found: dict[str, str] = {}
        for place, pair in enumerate(_pairs(self.text(name)), 1):
            key, equals, value = (part.strip() for part in pair.partition("="))
            if equals and (decoded := unquote(key)):
                found[decoded] = unquote(value)
            else:
                self.warn(name, f"entry {place} is not key=value; it is left out")
        return tuple(found.items())

    def headers(self, *names: str) -> tuple[tuple[str, str], ...]:
        """As :meth:`attributes`, but a bad pair discards only itself. No warning contains a header, which can be a credential."""
        name, text = self.variable(*names)
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
        """Add a warning about a variable."""
        self.warnings.append(f"{name}: {problem}")


def _pairs(text: str) -> list[str]:
    return [pair for pair in text.split(",") if pair.strip()]


def _percent_decoded(text: str) -> str | None:
    """The decoded text; ``None`` if an escape is incomplete or does not give UTF-8."""
    if _BAD_ESCAPE.search(text):
        return None
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")


@dataclass(frozen=True, slots=True)
class ChosenExporters:
    """What an ``OTEL_…_EXPORTER`` variable asks for. With ``auto``, OTLP is on if there is an endpoint.

    ``others`` are exporters of other packages, by name.
    """

    otlp: Literal["auto", "on", "off"]
    others: tuple[str, ...] = ()


def chosen_exporters(reader: EnvironmentReader, name: str, built_in: Sequence[str]) -> ChosenExporters:
    """The exporters in a list of names. ``built_in`` are names that need no setting here, such as ``prometheus``."""
    words = reader.names(name)
    ours = {"otlp", "none", *built_in}
    others = tuple(word for word in words if word.lower() not in ours)
    if not words:
        return ChosenExporters("auto")
    return ChosenExporters("on" if any(word.lower() == "otlp" for word in words) else "off", others)
