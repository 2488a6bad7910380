# mypy: ignore-errors
# It runs where Pipecat is installed, which is not where types are checked.
"""Calls with the real Pipecat; tests/sockets/test_tap_pipecat.py starts this and reads what it prints.

One call's times are compared with the truth. The others, most of them at the same time, have each a trouble of their own.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

from bot import make_worker, run
from pipecat.frames.frames import MetricsFrame
from pipecat.observers.base_observer import BaseObserver
from pipecat_realtime import realtime_worker
from stand_ins import Delays, Line, Script

from agentstack_tap import shared
from agentstack_tap.pipecat import attach, setup_file

DELAYS = Delays(transcription=0.1, first_token=0.2, generation=0.15, first_audio=0.12, tool=0.15)
MEASURED = [
    Line("Is it ready?", 0.6, "Yes, at noon.", tool="find_prescription", pause=0.1),
    Line("And what do you have for a cold?", 0.7, "We have drops, we have tea, and we have a spray that many people like.", pause=0.1),
    Line("The spray.", 0.5, "With pleasure.", pause=0.1, barge_in=0.5),
]
SHORT = [Line("One.", 0.4, "Answer one.", pause=0.1), Line("Two.", 0.4, "Answer two.", pause=0.1)]
QUIET = [Line("One.", 0.4, "Answer one.", pause=0.1), Line("Two.", 0.4, "Answer two.", pause=4.0)]
"""With a pause in which the first turn is reported, and nothing else happens."""


class Rude(BaseObserver):
    """An observer of the app's that fails at each frame."""

    async def on_push_frame(self, data: Any) -> None:
        """Fail."""
        raise RuntimeError("rude")


class Polite(BaseObserver):
    """An observer of the app's that counts frames."""

    frames = 0

    async def on_push_frame(self, data: Any) -> None:
        """Count."""
        self.frames += 1


def scripted(lines: list[Line]) -> Script:
    """A call of those lines."""
    return Script(lines, DELAYS)


async def measured(url: str) -> dict[str, Any]:
    """A call with all that belongs to one."""
    script = scripted(MEASURED)
    worker = make_worker(script)
    attach(worker, url, agent="measured", session_id="measured")
    await run(worker)
    return asdict(script.truth)


async def rude(url: str) -> dict[str, Any]:
    """A call in whose process other observers and handlers fail, and with metrics that nobody can read."""
    script, polite = scripted(SHORT), Polite()
    worker = make_worker(script, observers=[Rude(), polite])
    attach(worker, url, agent="rude", texts=True)

    async def fail(*_: Any) -> None:
        raise RuntimeError("rude")

    await worker.queue_frame(MetricsFrame(data=[None]))
    for event in ("on_pipeline_started", "on_pipeline_finished", "on_pipeline_error"):
        worker.add_event_handler(event, fail)
    return {"took": await timed(worker), **asdict(script.truth), "frames": polite.frames}


async def failing(url: str) -> dict[str, Any]:
    """A call whose model fails, and that the app then cancels: the caller gets no answer."""
    script = scripted([replace(SHORT[0], fails=True)])
    worker = make_worker(script)
    attach(worker, url, agent="failing")
    cancelled = asyncio.create_task(_cancel_after_error(worker))
    await run(worker)
    await cancelled
    return asdict(script.truth)


async def broken(url: str) -> dict[str, Any]:
    """A call whose model fails for good, so that Pipecat ends it."""
    script = scripted([replace(SHORT[0], fails=True, fatal=True)])
    worker = make_worker(script)
    attach(worker, url, agent="broken")
    await run(worker)
    return asdict(script.truth)


async def _cancel_after_error(worker: Any) -> None:
    failed = asyncio.Event()

    async def note(*_: Any) -> None:
        failed.set()

    worker.add_event_handler("on_pipeline_error", note)
    await failed.wait()
    await worker.cancel()


async def plain(url: str, name: str, lines: list[Line]) -> dict[str, Any]:
    """A call without trouble of its own."""
    script = scripted(lines)
    worker = make_worker(script)
    attach(worker, url, agent=name)
    return {"took": await timed(worker), **asdict(script.truth)}


async def realtime(url: str) -> dict[str, Any]:
    """A call with a speech-to-speech model."""
    script = scripted(SHORT)
    worker = realtime_worker(script)
    attach(worker, url, agent="realtime", session_id="realtime")
    await timed(worker)
    return asdict(script.truth)


async def timed(worker: Any) -> float:
    """How long a call took."""
    began = time.monotonic()
    await run(worker)
    return time.monotonic() - began


async def by_setup_file(url: str, started: Callable[[], None]) -> dict[str, Any]:
    """A call whose code knows nothing of the tap. A part of another pipeline gets none, and a worker that cannot have one goes on."""
    await setup_file.setup_pipeline_worker(SimpleNamespace(bridged=True))
    await setup_file.setup_pipeline_worker(SimpleNamespace(bridged=False))
    script = scripted(SHORT)
    worker = make_worker(script, conversation_id="by-setup-file")
    os.environ |= {"PIPECAT_SETUP_FILES": setup_file.__file__, "AGENTSTACK_TAP_URL": url, "AGENTSTACK_TAP_AGENT": "by-setup-file"}

    async def note(*_: Any) -> None:
        started()

    worker.add_event_handler("on_pipeline_started", note)
    await run(worker)
    return asdict(script.truth)


async def main(urls: dict[str, str]) -> None:
    """All calls; what they were is printed at the end."""
    restarted = asyncio.create_task(plain(urls["restarted"], "restarted", QUIET))
    found: dict[str, Any] = {"version": version("pipecat-ai"), "measured": await measured(urls["exporter"])}
    started = asyncio.Event()
    setup = asyncio.create_task(by_setup_file(urls["exporter"], started.set))
    await started.wait()
    del os.environ["PIPECAT_SETUP_FILES"]
    calls = {
        "rude": rude(urls["exporter"]),
        "realtime": realtime(urls["exporter"]),
        "failing": failing(urls["exporter"]),
        "broken": broken(urls["exporter"]),
        "absent": plain(urls["absent"], "absent", SHORT),
        "restarted": restarted,
        "by-setup-file": setup,
    }
    found |= dict(zip(calls, await asyncio.gather(*calls.values()), strict=True))
    taps = {key[0]: entry.tap for key, entry in shared._taps.items()}
    for name in ("restarted", "exporter"):
        await asyncio.to_thread(taps[urls[name]].flush, 10.0)
    found["stats"] = {name: asdict(taps[url].stats) for name, url in urls.items()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
