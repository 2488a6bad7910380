"""The files of /live: small, of our own, and readable in both themes."""

import re
from itertools import product
from pathlib import Path

import pytest

from exporter.exporters.live.call_page import _STYLE

PAGE = Path(__file__).parents[2] / "exporter" / "exporters" / "live" / "page"
FILES = sorted(PAGE.iterdir())
LARGEST = 60_000
TEXTS = ("ink", "soft", "link", "good", "alarm")
STAGES = ("user", "stt", "detection", "callback", "llm", "tts", "agent", "realtime", "tool", "rest", "mark", "bad-back")


def test_they_are_small() -> None:
    """All files together have at most 60 kB."""
    assert sum(file.stat().st_size for file in FILES) <= LARGEST


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_is_loaded_from_elsewhere(file: Path) -> None:
    """Every address in a file is relative; the only others are names of XML namespaces."""
    text = file.read_text(encoding="utf-8").replace('"http://www.w3.org/2000/svg"', "")
    assert re.findall(r"(?:https?|wss?):?//|(?:src|href)=[\"']?/|url\(|@import|\bfrom \"[^.]", text) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_needs_an_unsafe_policy(file: Path) -> None:
    """No file has inline scripts, inline styles or handlers, makes markup from text, or runs text as a program."""
    text = file.read_text(encoding="utf-8")
    banned = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc"
        r"|cssText|\son\w+=|\bstyle=|<style|<script>"
    )
    assert re.findall(banned, text) == []


def themes(style: str) -> dict[str, dict[str, tuple[int, ...]]]:
    """The colours of each theme; the dark one has those of the light one that it does not change."""
    blocks = style.split("@media")[:2]
    light, dark = ({key: _rgb(value) for key, value in re.findall(r"--([\w-]+): #(\w{6}|\w{3})\b", block)} for block in blocks)
    return {"light": light, "dark": light | dark}


def _rgb(text: str) -> tuple[int, ...]:
    whole = "".join(digit * 2 for digit in text) if len(text) == 3 else text
    return tuple(int(whole[at : at + 2], 16) for at in (0, 2, 4))


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The contrast ratio of WCAG 2.2."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: tuple[int, ...]) -> float:
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme: str) -> None:
    """Texts have a contrast of 4.5 to what is behind them, bars one of 3, as WCAG AA asks."""
    colours = themes((PAGE / "style.css").read_text(encoding="utf-8"))[theme]
    pairs = [*product(TEXTS, ("card", "page")), ("ink", "hover"), ("slow", "slow-back"), ("slow", "card")]
    found = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    found["white", "bad-back"] = contrast((255, 255, 255), colours["bad-back"])
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}
    bars = {name: contrast(colours[name], colours["card"]) for name in STAGES}
    assert {name: ratio for name, ratio in bars.items() if ratio < 3} == {}


def test_files_have_the_colours_of_the_page() -> None:
    """The file of a call, which is attached to tickets, draws stages in the colours that they have on the page."""
    ours, page = themes(_STYLE), themes((PAGE / "style.css").read_text(encoding="utf-8"))
    shared = ("user", "stt", "detection", "llm", "tts", "agent", "realtime", "tool", "rest")
    assert {name: [found[each] for each in shared] for name, found in ours.items()} == {
        name: [found[each] for each in shared] for name, found in page.items()
    }
