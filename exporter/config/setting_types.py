"""The kinds of values that a setting or an option can have, as click parameter types.

A refusal reads ``'abc' is not <what is expected>`` for every source of the value; the caller adds the place. Flags and environment
variables hold text. The settings file holds TOML values, and each kind accepts only those in ``file_types``.
"""

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NoReturn, TypeVar
from urllib.parse import urlsplit

import click

from exporter.config.addresses import MAX_PORT, Address, AddressError, parse_address

T_co = TypeVar("T_co", covariant=True)

_SHOWN = 80
MASK = "***"


def shown(value: object) -> str:
    """A refused value in a message: quoted, with escaped control characters, at most 80 characters."""
    plain = isinstance(value, bool | date | time)
    text = str(value).lower() if plain else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The most similar of ``names``, if any is similar."""
    matches = difflib.get_close_matches(name, names, n=1)
    return matches[0] if matches else None


class Kind(click.ParamType[T_co]):
    """A parameter type with a text for what it expects, which ends the sentence "… is not …"."""

    expects: str
    file_types: ClassVar[tuple[type, ...]] = (str,)

    def refuse(self, value: object, param: click.Parameter | None, ctx: click.Context | None, hint: str = "") -> NoReturn:
        """Raise :class:`click.BadParameter` for ``value``. ``hint`` says what to write instead."""
        raise click.BadParameter(f"{shown(value)} is not {self.expects}{hint and '; '}{hint}", ctx=ctx, param=param)

    def check_file_value(self, value: object) -> None:
        """Raise :class:`click.BadParameter` unless a TOML value has a type of ``file_types``."""
        # type() and not isinstance(), because true is not a number.
        if type(value) not in self.file_types:
            self.refuse(value, None, None)


class Switch(Kind[bool], click.types.BoolParamType):
    """Yes or no."""

    name = "boolean"
    expects = "true or false"
    file_types: ClassVar[tuple[type, ...]] = (bool,)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        """Accept a bool and the words click knows (``true``, ``no``, ``1``, ``off``, …)."""
        state = self.str_to_bool(value) if value != "" and not str(value).isspace() else None
        return self.refuse(value, param, ctx) if state is None else state


class Whole(Kind[int], click.IntRange):
    """A whole number within bounds."""

    file_types: ClassVar[tuple[type, ...]] = (int,)

    def __init__(self, least: int, most: int, name: str = "number") -> None:
        super().__init__(least, most)
        self.least, self.most = least, most
        self.name = name
        self.expects = f"a whole number from {least} to {most}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Accept an int, or its digits."""
        # int() alone would accept "1_000", " 7 " and digits of every script.
        if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]{1,18}", value):
            self.refuse(value, param, ctx)
        number = int(value)
        if not self.least <= number <= self.most:
            self.refuse(value, param, ctx)
        return number


class Number(Kind[float], click.FloatRange):
    """A finite number within bounds."""

    file_types: ClassVar[tuple[type, ...]] = (int, float)

    def __init__(self, least: float, most: float, name: str = "number", what: str = "a number") -> None:
        super().__init__(least, most)
        self.least, self.most = least, most
        self.name = name
        self.expects = f"{what} from {_plain(least)} to {_plain(most)}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Accept an int, a float, or the text of one."""
        try:
            number = float(value)
        except ValueError:
            self.refuse(value, param, ctx)
        if not math.isfinite(number) or not self.least <= number <= self.most:
            self.refuse(value, param, ctx)
        return number


def _plain(number: float) -> str:
    """The number without an exponent."""
    return f"{number:.15f}".rstrip("0").rstrip(".")


class Seconds(Number):
    """A duration in seconds, written without a unit."""

    def __init__(self, least: float, most: float) -> None:
        super().__init__(least, most, name="seconds", what="a number of seconds, without a unit,")


class OneOf(Kind[T_co], click.Choice[T_co]):
    """One of a few words, in upper or lower case."""

    name = "choice"

    def __init__(self, choices: Sequence[T_co]) -> None:
        super().__init__(choices, case_sensitive=False)
        self.expects = "one of " + ", ".join(map(str, choices))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> T_co:
        """Accept one of the choices. The refusal of a similar word suggests the choice."""
        for choice in self.choices:
            if str(value).casefold() == str(choice):
                return choice
        near = nearest(str(value).casefold(), map(str, self.choices))
        return self.refuse(value, param, ctx, f"did you mean {near!r}?" if near else "")


class ListenAddress(Kind[Address]):
    """Host and port to listen on or to connect to."""

    name = "host:port"
    expects = "an address of the form host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """Accept an :class:`Address`, or its text."""
        if isinstance(value, Address):
            return value
        try:
            return parse_address(value)
        except AddressError as error:
            self.refuse(value, param, ctx, str(error))


class UrlPath(Kind[str]):
    """The path of a URL. Its characters need no encoding, so that paths can be compared as they are written."""

    name = "path"
    expects = "a URL path such as /ws (letters, digits and . _ ~ - between slashes)"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept the text of a path, without query or fragment."""
        text = str(value)
        if not re.fullmatch(r"/|(/[A-Za-z0-9._~-]+)+/?", text) or {".", ".."} & set(text.split("/")):
            self.refuse(value, param, ctx)
        return text


class Url(Kind[str]):
    """A URL with one of a few schemes."""

    name = "url"

    def __init__(self, *schemes: str) -> None:
        self.schemes = schemes
        self.expects = "a URL that starts with " + " or ".join(f"{scheme}://" for scheme in schemes)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept the text of a URL that names a host."""
        found = re.match(r"[a-z]+://[^/?#]*:([0-9]{5,20})(?:[/?#]|$)", str(value))
        if found and int(found[1]) > MAX_PORT:
            self.refuse(value, param, ctx, f"port {found[1]} is above {MAX_PORT}, the largest port")
        try:
            parts = urlsplit(value)
            right = parts.scheme in self.schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            right = False
        if not right or not value.isprintable() or " " in value:
            self.refuse(value, param, ctx)
        return str(value)


class UrlTemplate(Url):
    """An http or https URL that contains a placeholder."""

    def __init__(self, placeholder: str) -> None:
        super().__init__("https", "http")
        self._placeholder = placeholder
        self.expects = f"a URL that starts with https:// or http:// and contains {placeholder}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept the text of a URL with the placeholder behind its host."""
        text = str(value)
        place = text.find(self._placeholder)
        if place < 0 or "/" not in text[:place].partition("://")[2]:
            self.refuse(value, param, ctx)
        super().convert(text.replace(self._placeholder, "0"), param, ctx)
        return text


class FileName(Kind[Path]):
    """The name of a file. A ``~`` at its start is not expanded."""

    name = "file"
    expects = "a file name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Accept a path, or its text."""
        if not str(value).isprintable() or not str(value):
            self.refuse(value, param, ctx)
        return Path(value)


class Secret:
    """A text that is never shown: it prints as ``***``, also within settings and messages."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


class Secrets(Kind[Secret]):
    """A secret of visible ASCII without commas. In an environment variable, commas separate several."""

    name = "secret"
    envvar_list_splitter: ClassVar[str | None] = ","

    def __init__(self, what: str, least: int, allowed: str = r"[!-+\--~]") -> None:
        self._pattern = re.compile(f"{allowed}{{{least},512}}")
        self.expects = f"{what} of {least} to 512 characters"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Secret:
        """Accept a :class:`Secret`, or its text. The refusal does not show it."""
        if isinstance(value, Secret):
            return value
        if not self._pattern.fullmatch(str(value)):
            raise click.BadParameter(f"the value (not shown) is not {self.expects}", ctx=ctx, param=param)
        return Secret(str(value))

    def split_envvar_value(self, rv: str) -> list[str]:
        """The parts between commas, without the empty ones."""
        return [part.strip() for part in rv.split(",") if part.strip()]


class Origin(Kind[str]):
    """The ``Origin`` header of a browser."""

    name = "origin"
    expects = "an origin such as https://app.example.com, without a path"
    envvar_list_splitter: ClassVar[str | None] = ","

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Accept scheme and host, in the form that browsers send."""
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#@,]+", str(value)):
            self.refuse(value, param, ctx)
        return str(value)

    def split_envvar_value(self, rv: str) -> list[str]:
        """The parts between commas, without the empty ones."""
        return [part.strip() for part in rv.split(",") if part.strip()]


class LabelValue(NamedTuple):
    """A value of a metric label, such as ``model=gpt-4.1``."""

    label: str
    value: str

    def __str__(self) -> str:
        return f"{self.label}={self.value}"


class LabelValues(Kind[LabelValue]):
    """``label=value``. In an environment variable, commas separate several."""

    name = "label=value"
    expects = "a label and its value of the form label=value"
    envvar_list_splitter: ClassVar[str | None] = ","

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> LabelValue:
        """Accept a :class:`LabelValue`, or its text."""
        if isinstance(value, LabelValue):
            return value
        label, _, text = str(value).partition("=")
        if not re.fullmatch(r"[a-z][a-z_]*", label) or not text.strip() or not text.isprintable():
            self.refuse(value, param, ctx)
        return LabelValue(label, text.strip())

    def split_envvar_value(self, rv: str) -> list[str]:
        """The parts between commas, without the empty ones."""
        return [part.strip() for part in rv.split(",") if part.strip()]
