# mypy: ignore-errors
# It runs where LiveKit Agents is installed, which is not where types are checked.
"""Calls with real sessions of LiveKit Agents, all at once in one process. Prints what really happened, as JSON.

``shop`` is the call of examples/livekit. ``fails`` has a model that fails, which ends the session, and an app whose callbacks raise.
``absent`` reports to an exporter that is not there. ``realtime`` has a speech-to-speech model. The
exporter of ``killed`` is killed in the middle of it.
"""

import asyncio
import importlib.metadata
import json
import logging
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "livekit"))
from demo import ANSWERS, BYE, QUESTION, Call, shop_call
from livekit.agents import Agent, AgentSession
from livekit.agents.voice.agent_session import SessionConnectOptions
from stand_ins import Delays, Detector

from agentstack_tap.livekit import attach
from tests.support.livekit_realtime import RealtimeModel

NOWHERE = "ws://127.0.0.1:1/ws"


class Lateness:
    """How late this event loop comes at most, in seconds: what happens is noted no sooner."""

    most = 0.0

    async def measure(self, began):
        """Measure without end, from when the sessions have started: that holds the loop for a while."""
        await began.wait()
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            self.most = max(self.most, time.monotonic() - due)


def raises(_):
    raise RuntimeError("the app's own")


def raises_again(_):
    raise RuntimeError("the app's own")


async def failing_call(url, greeted):
    """The model fails at the first question, and the session closes. ``greeted`` is set when the first greeting was heard."""
    ANSWERS["fail, please"] = "fail"
    call = Call(["fail, please"], Delays(), conn_options=SessionConnectOptions(max_unrecoverable_errors=0))
    closed = asyncio.Event()
    call.session.on("close", lambda _: closed.set())
    for event in ("conversation_item_added", "agent_state_changed", "speech_created", "close", "error"):
        call.session.on(event, raises)
    call.tap = attach(call.session, url, agent="fails", session_id="lk-fails")
    for event in ("conversation_item_added", "agent_state_changed", "speech_created", "close", "error"):
        call.session.on(event, raises_again)
    await call.start()
    await call.until(lambda: len(call.truth.played) == 1 and call.session.agent_state == "listening")
    greeted.set()
    await call.caller.speak(0.6)
    await asyncio.wait_for(closed.wait(), 10)
    return call


def taps():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("agentstack-tap")]


async def quiet_call(url):
    """Two questions. Between them the exporter counts the first one, is killed and comes back."""
    call = Call([QUESTION, BYE], Delays())
    call.tap = attach(call.session, url, agent="killed", session_id="lk-killed")
    await call.start()
    await call.until(lambda: len(call.truth.played) == 1 and call.session.agent_state == "listening")
    await call.ask(0.6)
    await call.until(lambda: not call.tap.stats.connected, 30)
    await call.until(lambda: call.tap.stats.connected, 30)
    await call.ask(0.6)
    await call.session.aclose()
    return call


async def realtime_call(url):
    """A speech-to-speech model answers two questions. It detects turns itself; the session's detector tells when speech ended."""
    call = Call([], Delays())
    call.session = AgentSession(llm=RealtimeModel(call.delays, call.truth), vad=Detector(call.delays))
    call.session.input.audio, call.session.output.audio = call.caller, call.speaker
    call.tap = attach(call.session, url, agent="realtime", session_id="lk-realtime")
    await call.session.start(Agent(instructions="You answer the phone."))
    await call.ask(0.6)
    await call.ask(0.6)
    await call.session.aclose()
    return call


async def main(url, killed_url):
    greeted, lateness = asyncio.Event(), Lateness()
    measuring = asyncio.create_task(lateness.measure(greeted))
    calls = await asyncio.gather(
        shop_call(url, agent="shop", session_id="lk-shop"),
        failing_call(url, greeted),
        shop_call(NOWHERE, agent="absent", session_id="lk-absent"),
        realtime_call(url),
        quiet_call(killed_url),
    )
    measuring.cancel()
    names = ("shop", "fails", "absent", "realtime", "killed")
    found = {name: asdict(call.truth) for name, call in zip(names, calls, strict=True)}
    for call in (calls[0], calls[-1]):
        await asyncio.to_thread(call.tap.flush, 20.0)
    await calls[0].until(lambda: len(taps()) == 1)  # the shared tap of the first two disconnects by itself
    found["threads"] = taps()
    found["shared"] = calls[0].tap is calls[1].tap
    found["stats"] = {name: asdict(call.tap.stats) for name, call in zip(names, calls, strict=True)}
    found["late"] = lateness.most
    found["version"] = importlib.metadata.version("livekit-agents")
    calls[2].tap.close(0.0)  # at exit it would wait for its exporter
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(main(*sys.argv[1:]))
