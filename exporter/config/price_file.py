"""The price file: TOML with a table ``[[price]]`` for each model. The first table that matches is used."""

import tomllib
from pathlib import Path
from typing import Any

from exporter.analysis.prices import KINDS, Price, PriceList
from exporter.config.setting_types import nearest, shown
from exporter.config.small_file import read_small_file


class PriceFileError(ValueError):
    """The file cannot be used. The message says what was expected and where."""


def read_prices(path: Path) -> PriceList:
    """Read the file. Raises :class:`PriceFileError`."""
    try:
        document = tomllib.loads(read_small_file(path).decode())
    except OSError as error:
        raise PriceFileError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PriceFileError(f"{path}: is not TOML: {error}") from None
    for key in document:
        if key != "price":
            raise PriceFileError(f"{path}: unknown key {shown(key)}; expected tables [[price]]")
    entries = document.get("price")
    if not isinstance(entries, list) or not entries:
        raise PriceFileError(f"{path}: expected at least one table [[price]]")
    return PriceList(tuple(_price(f"{path}, price {number}", entry) for number, entry in enumerate(entries, 1)))


def _price(place: str, entry: dict[str, Any]) -> Price:
    component = entry.get("component")
    if not isinstance(component, str) or component not in KINDS:
        raise PriceFileError(f"{place}: component: {shown(component)} is not one of {', '.join(KINDS)}")
    names = {key: entry.get(key, "*") for key in ("provider", "model")}
    for key, value in names.items():
        if not isinstance(value, str) or not value:
            raise PriceFileError(f"{place}: {key}: {shown(value)} is not a name (in which * matches anything)")
    prices = {key: value for key, value in entry.items() if key not in ("component", *names)}
    for key, value in prices.items():
        if key not in KINDS[component]:
            near = nearest(key, KINDS[component])
            hint = f"; did you mean {near!r}?" if near else ""
            raise PriceFileError(f"{place}: unknown key {shown(key)}{hint}; expected one of {', '.join(KINDS[component])}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
            raise PriceFileError(f"{place}: {key}: {shown(value)} is not a number of dollars")
    if not prices:
        raise PriceFileError(f"{place}: expected at least one of {', '.join(KINDS[component])}")
    return Price(component, names["provider"], names["model"], {key: float(value) for key, value in prices.items()})
