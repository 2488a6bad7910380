"""For ``PIPECAT_SETUP_FILES``: the tap on every pipeline of an app, without a change of its code.

Pipecat loads this file by its path, which ``python -m agentstack_tap.pipecat`` prints. ``AGENTSTACK_TAP_URL`` says where the exporter
is.
"""

import logging
import os
from typing import Any, Final

from agentstack_tap.pipecat import attach

_DEFAULT_URL: Final = "ws://127.0.0.1:8790/ws"
_YES: Final = frozenset({"1", "true", "yes", "on"})


async def setup_pipeline_worker(worker: Any) -> None:
    """Pipecat calls this for each pipeline. One that belongs to another pipeline's session has none of its own."""
    if getattr(worker, "bridged", False) is True:
        return
    try:
        attach(
            worker,
            os.environ.get("AGENTSTACK_TAP_URL") or _DEFAULT_URL,
            agent=os.environ.get("AGENTSTACK_TAP_AGENT") or None,
            token=os.environ.get("AGENTSTACK_TAP_TOKEN") or None,
            texts=_is_on("AGENTSTACK_TAP_TEXTS"),
            enable_metrics=_is_on("AGENTSTACK_TAP_ENABLE_METRICS"),
        )
    except Exception:
        logging.getLogger("agentstack_tap").exception("the Pipecat tap failed to attach; the pipeline runs without it")


async def setup_pipeline_task(task: Any) -> None:
    """What Pipecat before 1.3 calls it."""
    await setup_pipeline_worker(task)


async def setup_worker_runner(runner: Any) -> None:
    """Pipecat calls this for each runner, and warns where it is missing. There is nothing to do."""


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in _YES
