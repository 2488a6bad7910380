"""The tap on a pipeline of Pipecat 1.0 or newer: in one line, or with ``PIPECAT_SETUP_FILES`` without a change of the app.

    from agentstack_tap.pipecat import attach
    attach(worker, "ws://127.0.0.1:8790/ws", agent="support")

Pipecat is imported by ``attachment``, ``frames`` and ``observer`` only. docs/pipecat.md has the mapping of its numbers, field by field.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentstack_tap.pipecat.attachment import attach
    from agentstack_tap.pipecat.observer import TapObserver

__all__ = ["TapObserver", "attach"]


def __getattr__(name: str) -> Any:
    """Import Pipecat when it is needed: the path of the setup file can be printed without it."""
    if name == "attach":
        from agentstack_tap.pipecat.attachment import attach  # noqa: PLC0415 - it imports Pipecat

        return attach
    if name == "TapObserver":
        from agentstack_tap.pipecat.observer import TapObserver  # noqa: PLC0415 - as above

        return TapObserver
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
