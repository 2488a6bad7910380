"""The API of /live is as docs/ says."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.exporters.live.messages import (
    ANSWERS,
    Bye,
    CallDetail,
    CallDetailChange,
    CallList,
    Change,
    Failure,
    FieldList,
    State,
    SummaryAnswer,
)
from exporter.exporters.live.schema import schema
from tests.support.house_rules import ROOT
from tests.support.json_schema import validate

DATA = ROOT / "tests" / "data" / "live"
EXAMPLES: dict[str, type[Any]] = {
    "bye": Bye,
    "call": CallDetail,
    "call-change": CallDetailChange,
    "calls": CallList,
    "change": Change,
    "failure": Failure,
    "fields": FieldList,
    "state": State,
    "summary": SummaryAnswer,
}


def test_the_schema_is_current() -> None:
    """docs/live-api.schema.json is what the types say: write it with python -m exporter.exporters.live.schema."""
    assert json.loads((ROOT / "docs" / "live-api.schema.json").read_text(encoding="utf-8")) == json.loads(json.dumps(schema()))


def test_the_page_names_every_path() -> None:
    """docs/live-api.md names every path that the schema describes."""
    page = (ROOT / "docs" / "live-api.md").read_text(encoding="utf-8")
    for name in ANSWERS:
        path = name.removeprefix("GET ").split(",")[0]
        assert not path.startswith("/") or f"`{path}`" in page


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_of_their_type(name: str) -> None:
    """Each example is valid by the schema and by its type."""
    raw = Path(DATA / f"{name}.json").read_bytes()
    msgspec.json.decode(raw, type=EXAMPLES[name])
    whole = schema()
    validate(json.loads(raw), {"$ref": f"#/$defs/{EXAMPLES[name].__name__}", "$defs": whole["$defs"]})
