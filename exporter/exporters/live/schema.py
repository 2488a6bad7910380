"""Writes ``docs/live-api.schema.json`` from the types of the messages: ``python -m exporter.exporters.live.schema``."""

import json
import sys
from typing import Any

import msgspec

from exporter.exporters.live.messages import ANSWERS


def schema() -> dict[str, Any]:
    """The JSON Schema of all answers and events."""
    types = list(dict.fromkeys(ANSWERS.values()))
    references, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    by_type = dict(zip(types, references, strict=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What /api/v1 of agentstack-exporter answers and streams",
        "x-answers": {name: by_type[kind] for name, kind in ANSWERS.items()},
        "anyOf": list(references),
        "$defs": definitions,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
