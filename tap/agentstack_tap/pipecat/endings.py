"""Why pipelines end: Pipecat's last frame, as the reason of a session's end."""

import re
from dataclasses import dataclass
from typing import Any, Final

_BY_FRAME: Final = {"EndFrame": "completed", "StopFrame": "pipeline_stopped", "CancelFrame": "cancelled"}
"""Frame → reason, where the app gives none."""
_PIPECATS_OWN: Final = {"idle timeout": "idle_timeout", "interrupt signal": "interrupt_signal"}
_FAILURES: Final = ("fatal error", "can no longer do its job")
_SHORT: Final = re.compile(r"[A-Za-z][A-Za-z_. -]{0,47}")
"""The reasons of apps that become a label: short texts without digits, which are no ids or numbers of somebody."""


@dataclass(frozen=True)
class Ending:
    """Why a pipeline ends."""

    reason: str | None
    error: str | None = None


def ending_of(frame: str, reason: Any) -> Ending:
    """The ending that a frame of that class announces, with the reason that the app or Pipecat gives for it."""
    text = "" if reason is None else str(reason)
    if any(failure in text for failure in _FAILURES):
        return Ending("error", text)
    if text in _PIPECATS_OWN:
        return Ending(_PIPECATS_OWN[text])
    return Ending(text if _SHORT.fullmatch(text) else _BY_FRAME.get(frame, "completed"))
