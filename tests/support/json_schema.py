"""Validation by JSON schema, for tests. Import it from here: jsonschema alone takes two seconds to load.

It builds the grammars of internationalised URIs, which no schema of ours contains.
"""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type] # means "not installed", which jsonschema allows for

import jsonschema  # type: ignore[import-untyped] # noqa: E402 - it has no types; the line above has to come first
from kubernetes_validate.utils import validate as validate_manifest  # noqa: E402 - it imports jsonschema

__all__ = ["validate", "validate_manifest"]

validate = jsonschema.validate
