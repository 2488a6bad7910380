"""YAML read by libyaml, where PyYAML has it: rendered manifests and rules are long, and its own reader takes ten times as long."""

from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(text: str) -> Any:
    """The document."""
    return yaml.load(text, _Loader)  # noqa: S506 - a safe loader, whichever of the two it is


def load_all(text: str) -> list[Any]:
    """Every document of a stream."""
    return list(yaml.load_all(text, _Loader))
