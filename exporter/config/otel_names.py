"""Misspelled names of ``OTEL_*`` variables.

Other programs, and SDKs of other languages, have variables of their own, so an unknown one is no fault. One that looks like a variable
that the exporter reads is: it has no effect, and nothing else says so.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Final

PREFIX: Final = "OTEL_"
_ALIKE: Final = 0.93
"""From this ratio on, names differ by a letter or two. Names that the specification has are further apart, by the word for a signal."""


def misspelled(environ: Mapping[str, str], read: Collection[str]) -> Iterator[tuple[str, str]]:
    """The variables that are set, known to nobody, and look like one of those that are ``read``, each with that one."""
    for name in environ:
        if name.startswith(PREFIX) and name not in read and environ[name] and name not in _known():
            matches = difflib.get_close_matches(name, sorted(read), 1, _ALIKE)
            if matches:
                yield name, matches[0]


@cache
def _known() -> frozenset[str]:
    """The variables that OpenTelemetry's own SDK knows."""
    from opentelemetry import environment_variables as api  # noqa: PLC0415 - read only if a variable is not the exporter's
    from opentelemetry.sdk import environment_variables as sdk  # noqa: PLC0415 - as above

    return frozenset(value for module in (api, sdk) for name, value in vars(module).items() if name.startswith(PREFIX))
