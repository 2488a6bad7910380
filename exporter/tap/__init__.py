"""The old name of the package ``agentstack_tap``. It goes with version 0.2.0."""

import warnings

from agentstack_tap import Stats, Tap, attach

__all__ = ["Stats", "Tap", "attach"]

warnings.warn(
    "exporter.tap is now the package agentstack_tap (distribution agentstack-tap); the old name goes with agentstack-exporter 0.2.0",
    DeprecationWarning,
    stacklevel=2,
)
