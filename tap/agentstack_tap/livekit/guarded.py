"""Callbacks that LiveKit calls: whatever happens in them, the call goes on."""

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger("agentstack_tap")


def guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """``callback``, which raises nothing into the app."""

    def call(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception:  # another version of LiveKit may do anything differently
            log.debug("an event of LiveKit could not be read", exc_info=True)

    return call
