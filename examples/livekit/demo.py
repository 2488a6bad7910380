"""A call with a real AgentSession of LiveKit Agents, without any account: the caller, the ears, the mind and the voice are stand-ins.

    agentstack-exporter serve &
    python examples/livekit/demo.py

docs/livekit.md says how to install what it needs. Look at http://127.0.0.1:8791/metrics meanwhile.
"""

import argparse
import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from livekit.agents import Agent, AgentSession, function_tool

sys.path.insert(0, str(Path(__file__).parent))
from stand_ins import Caller, Delays, Detector, Model, Recogniser, Speaker, Truth, Voice

from agentstack_tap import Tap
from agentstack_tap.livekit import attach

QUESTION, ORDER, LONG, BYE = "What do you sell?", "Where is my order?", "Tell me everything.", "Thank you, bye."
ANSWERS = {
    QUESTION: "We sell lamps and chairs.",
    ORDER: "tool:find_order",
    LONG: "That is a long story, and it begins a long time ago, in a small town by the sea, where nobody had a lamp.",
    BYE: "Have a nice day.",
}


class Shop(Agent):
    """The agent of the call."""

    def __init__(self, delays: Delays) -> None:
        super().__init__(instructions="You answer the phone of a shop.")
        self._delays = delays

    async def on_enter(self) -> None:
        """Greet the caller."""
        self.session.say("Hello, this is the shop.")

    @function_tool
    async def find_order(self) -> str:
        """Find the caller's order."""
        await asyncio.sleep(self._delays.tool)
        return "it ships tomorrow"


def options(delays: Delays) -> dict[str, Any]:
    """When a turn is over, in the words of the LiveKit that is installed."""
    known = inspect.signature(inspect.unwrap(AgentSession.__init__)).parameters
    if "turn_handling" not in known:
        return {"min_endpointing_delay": delays.endpointing, "max_endpointing_delay": 1.0, "turn_detection": "vad"}
    handling = {
        "turn_detection": "vad",
        "endpointing": {"min_delay": delays.endpointing, "max_delay": 1.0},
        "interruption": {"mode": "vad"},
        "preemptive_generation": {"enabled": False},
    }
    return {"turn_handling": handling, "aec_warmup_duration": None, "session_close_transcript_timeout": 0.1}


class Call:
    """One session, with a caller who says what the script says."""

    def __init__(self, texts: list[str], delays: Delays, **more: Any) -> None:
        self.truth = Truth()
        self.delays = delays
        self.tap: Tap | None = None
        self.caller, self.speaker = Caller(self.truth), Speaker(self.truth)
        self.session: AgentSession[None] = AgentSession(
            vad=Detector(delays),
            stt=Recogniser(texts, delays, self.truth),
            llm=Model(ANSWERS, delays, self.truth),
            tts=Voice(delays, self.truth),
            **options(delays),
            **more,
        )

    async def start(self) -> None:
        """The caller is connected."""
        self.session.input.audio = self.caller
        self.session.output.audio = self.speaker
        await self.session.start(Shop(self.delays))

    async def until(self, condition: Callable[[], bool], within: float = 15.0) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(within):
            while not condition():
                await asyncio.sleep(0.01)

    async def ask(self, seconds: float, *, answers: int = 1) -> None:
        """Speak, and listen until the agent has answered and is silent."""
        played = len(self.truth.played)
        await self.caller.speak(seconds)
        await self.until(lambda: len(self.truth.played) >= played + answers and self.session.agent_state == "listening")

    async def interrupt(self, seconds: float) -> None:
        """Speak while the agent speaks."""
        await self.until(lambda: self.session.agent_state == "speaking")
        await asyncio.sleep(0.6)
        await self.ask(seconds, answers=2)


async def shop_call(url: str, *, agent: str = "livekit-shop", session_id: str | None = None) -> Call:
    """The whole call: a greeting, a question, a tool, a long answer that the caller interrupts, and a good-bye."""
    call = Call([QUESTION, ORDER, LONG, BYE], Delays())
    call.tap = attach(call.session, url, agent=agent, session_id=session_id)
    await call.start()
    await call.until(lambda: len(call.truth.played) == 1 and call.session.agent_state == "listening")
    await call.ask(0.8)
    await call.ask(0.6)
    await call.caller.speak(0.6)
    await call.interrupt(1.0)
    await call.session.aclose()
    return call


def main() -> None:
    """Make the calls that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exporter", default="ws://127.0.0.1:8790/ws", help="URL of the exporter")
    parser.add_argument("--calls", type=int, default=1, help="how many calls, one after the other")
    parser.add_argument("--truth", action="store_true", help="print what really happened, as JSON")
    given = parser.parse_args()
    for number in range(given.calls):
        call = asyncio.run(shop_call(given.exporter))
        sys.stdout.write(json.dumps(asdict(call.truth)) + "\n" if given.truth else f"call {number + 1} of {given.calls} is over\n")


if __name__ == "__main__":
    main()
