"""For ``PIPECAT_SETUP_FILES``: the tap on every pipeline of an app, without a change of its code.

Pipecat loads this file by its path, which ``python -m agentstack_tap.pipecat`` prints. ``AGENTSTACK_TAP_URL`` says where the exporter
is.
"""

import logging
import os
from functools import cache
from typing import Any, Final

from agentstack_tap.pipecat import attach
from agentstack_tap.pipecat.environment import URL, arguments, faults

log: Final = logging.getLogger("agentstack_tap")


async def setup_pipeline_worker(worker: Any) -> None:
    """Pipecat calls this for each pipeline. One that belongs to another pipeline's session has none of its own."""
    if getattr(worker, "bridged", False) is True:
        return
    _check_environment()
    try:
        attach(worker, **arguments(os.environ))
    except ValueError as error:
        log.error("%s: %s; the pipeline runs without the tap", URL, error)  # noqa: TRY400 - the reason says all
    except Exception:
        log.exception("the Pipecat tap failed to attach; the pipeline runs without it")


async def setup_pipeline_task(task: Any) -> None:
    """What Pipecat before 1.3 calls it."""
    await setup_pipeline_worker(task)


async def setup_worker_runner(runner: Any) -> None:
    """Pipecat calls this for each runner, and warns where it is missing. There is nothing to do."""


@cache
def _check_environment() -> None:
    """Warn of wrong variables, once: Pipecat gives no other place to look at them."""
    for fault in faults(os.environ):
        log.warning(fault)
