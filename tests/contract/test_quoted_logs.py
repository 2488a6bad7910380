"""Log lines that the documentation quotes are lines that the code writes: an operator searches for them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house_rules import ROOT

_QUOTED = re.compile(
    r"(?:log says|log line|[Tt]he line|line of the log,|log for|logged as) `(?P<said>[^`]+)`|`(?P<shown>[^`]+)` in the log\b"
)
"""How the pages introduce what stands in the log."""
_LEAST_QUOTES = 9
"""A page that quotes the log in other words would escape the test."""


def _pages() -> Iterator[Path]:
    for pattern in ("*.md", "docs/**/*.md", "tap/*.md"):
        yield from sorted(ROOT.glob(pattern))


def _quotes() -> list[tuple[str, str]]:
    """The quoted lines, each with its page."""
    return [
        (str(page.relative_to(ROOT)), found["said"] or found["shown"])
        for page in _pages()
        for found in _QUOTED.finditer(" ".join(page.read_text(encoding="utf-8").split()))
    ]


def _texts() -> Iterator[str]:
    """The texts in the code of the exporter and the tap, without docstrings."""
    for source in [*ROOT.glob("exporter/**/*.py"), *ROOT.glob("tap/agentstack_tap/*.py")]:
        tree = ast.parse(source.read_text(encoding="utf-8"))
        documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                yield node.value


@pytest.fixture(scope="module")
def texts() -> str:
    return "\n".join(_texts())


@pytest.mark.parametrize(("page", "quote"), _quotes())
def test_a_quoted_line_is_written(texts: str, page: str, quote: str) -> None:
    """What a page quotes of the log is a text in the code; ``…`` stands for anything within it."""
    pattern = ".+".join(re.escape(part.strip()) for part in quote.split("…"))
    assert re.search(pattern, texts), f"{page} quotes `{quote}`, which the code does not write"


def test_quotes_are_found() -> None:
    """The test knows how the pages quote the log."""
    assert len(_quotes()) >= _LEAST_QUOTES
