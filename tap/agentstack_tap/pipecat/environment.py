"""The ``AGENTSTACK_TAP_*`` variables, which stand for the arguments of ``attach`` where the tap comes without a change of code."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

PREFIX: Final = "AGENTSTACK_TAP_"
URL: Final = PREFIX + "URL"
DEFAULT_URL: Final = "ws://127.0.0.1:8790/ws"
_TEXTS: Final = ("AGENT", "TOKEN")
_FLAGS: Final = ("TEXTS", "ENABLE_METRICS")
_NAMES: Final = (URL, *(PREFIX + name for name in (*_TEXTS, *_FLAGS)))
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"", "0", "false", "no", "off"})


def arguments(environ: Mapping[str, str]) -> dict[str, Any]:
    """The exporter's URL, and the other arguments by name."""
    found: dict[str, Any] = {"url": environ.get(URL) or DEFAULT_URL}
    found |= {name.lower(): environ.get(PREFIX + name) or None for name in _TEXTS}
    return found | {name.lower(): _flag(environ, name) in _YES for name in _FLAGS}


def faults(environ: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the variables: a name that looks like one of them, and a flag that says neither yes nor no."""
    for name in environ:
        if name.startswith(PREFIX) and name not in _NAMES:
            for near in difflib.get_close_matches(name, _NAMES, 1, 0.9):
                yield f"{name}: unknown environment variable; did you mean {near}?"
    for name in _FLAGS:
        if _flag(environ, name) not in _YES | _NO:
            yield f"{PREFIX}{name}: {environ[PREFIX + name]!r} is neither true nor false; false is used"


def _flag(environ: Mapping[str, str], name: str) -> str:
    return environ.get(PREFIX + name, "").strip().lower()
