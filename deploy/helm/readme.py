"""Writes the table of values in the chart's README from values.yaml and its comments."""

import json
from collections.abc import Iterator
from typing import Final

import yaml

HEADING: Final = "## Values\n"


def with_values(readme: str, values: str) -> str:
    """The README, with the table below its last heading as it is now."""
    head, heading, _ = readme.partition(HEADING)
    rows = [f"| `{key}` | {_shown(default)} | {comment} |" for key, default, comment in documented(values)]
    return "\n".join([f"{head}{HEADING if heading else heading}", "| Value | Default | What it does |", "|---|---|---|", *rows, ""])


def documented(values: str) -> Iterator[tuple[str, object, str]]:
    """Every value with its path, default and comment. Raises ``ValueError`` if one has no comment.

    A mapping is one value if nothing within it has a comment.
    """
    root = yaml.compose(values, yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("values.yaml is not a mapping")
    yield from _within(root, values.splitlines(), "")


def _within(node: yaml.MappingNode, lines: list[str], path: str) -> Iterator[tuple[str, object, str]]:
    for key, value in node.value:
        name = f"{path}{key.value}"
        if isinstance(value, yaml.MappingNode) and any(_comment(inner, lines) for inner, _ in value.value):
            yield from _within(value, lines, f"{name}.")
        elif comment := _comment(key, lines):
            yield name, yaml.SafeLoader("").construct_document(value), comment
        else:
            raise ValueError(f"values.yaml: {name} has no comment")


def _comment(key: yaml.Node, lines: list[str]) -> str:
    """The lines of comment right above a key, as one line. A key that does not begin its line has none."""
    above = key.start_mark.line
    if lines[above][: key.start_mark.column].strip():
        return ""
    found: list[str] = []
    while above and lines[above - 1].lstrip().startswith("#"):
        above -= 1
        found.insert(0, lines[above].lstrip().removeprefix("#").strip())
    return " ".join(found).replace("|", "\\|")


def _shown(default: object) -> str:
    return f"`{json.dumps(default, ensure_ascii=False)}`"
