"""A call with a Pipecat agent whose caller, recogniser, model and voice are stand-ins, sent to the exporter by the tap.

    agentstack-exporter serve &
    python bot.py
    open http://127.0.0.1:8791/

It needs pipecat-ai 1.0 or newer and agentstack-tap. ``--calls 5`` makes five calls at the same time.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from typing import Any

from pipecat.frames.frames import TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from stand_ins import Earpiece, Line, Script, ScriptedCaller, ScriptedLLMService, ScriptedSTTService, ScriptedTTSService, vad

from agentstack_tap.pipecat import attach

try:
    from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
    from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
except ImportError:  # before 1.14
    from pipecat.adapters.schemas.function_schema import FunctionSchema
    from pipecat.adapters.schemas.tools_schema import ToolsSchema
try:
    from pipecat.pipeline.worker import PipelineParams, PipelineWorker
    from pipecat.workers.runner import WorkerRunner
except ImportError:  # before 1.3
    from pipecat.pipeline.runner import PipelineRunner as WorkerRunner
    from pipecat.pipeline.task import PipelineParams
    from pipecat.pipeline.task import PipelineTask as PipelineWorker

GREETING = "Hello, this is the pharmacy."
CALL = [
    Line("Is my prescription ready?", 1.2, "Yes, you can have it at noon.", tool="find_prescription"),
    Line("Do you also have something for a cold?", 1.6, "We have drops, tea, and a spray that many people like a lot."),
    Line("The spray, please.", 0.9, "I will put it with your prescription.", barge_in=0.8),
    Line("Thank you, bye.", 0.8, "Goodbye."),
]


def make_worker(script: Script, **options: Any) -> Any:
    """A pipeline as in any voice bot."""
    llm = ScriptedLLMService(script)

    async def find_prescription(call: Any) -> None:
        script.truth.tools.append(call.function_name)
        await asyncio.sleep(script.delays.tool)
        await call.result_callback({"ready": "noon"})

    llm.register_function("find_prescription", find_prescription)
    tools = ToolsSchema(standard_tools=[FunctionSchema("find_prescription", "Finds a prescription.", {}, [])])
    turns = UserTurnStrategies(stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.3)])
    user, assistant = LLMContextAggregatorPair(
        LLMContext(tools=tools), user_params=LLMUserAggregatorParams(user_turn_strategies=turns, vad_analyzer=vad())
    )
    caller = ScriptedCaller(script)
    stages = [caller, ScriptedSTTService(script), user, llm, ScriptedTTSService(script), Earpiece(script), assistant]
    params = PipelineParams(audio_in_sample_rate=16_000, audio_out_sample_rate=16_000, enable_metrics=True, enable_usage_metrics=True)
    worker = PipelineWorker(Pipeline(stages), params=params, enable_rtvi=False, **options)  # there is no client to tell
    caller.hang_up = worker.stop_when_done
    return worker


async def run(worker: Any) -> None:
    """Run a pipeline to its end, beginning with a greeting."""
    await worker.queue_frames([TTSSpeakFrame(GREETING)])
    runner = WorkerRunner(handle_sigint=False)
    if hasattr(runner, "add_workers"):
        await runner.add_workers(worker)
        await runner.run()
    else:
        await runner.run(worker)


async def call(url: str | None, agent: str) -> Script:
    """One call. Without a URL the tap is left to ``PIPECAT_SETUP_FILES``."""
    script = Script(CALL)
    worker = make_worker(script)
    if url:
        attach(worker, url, agent=agent)
    await run(worker)
    return script


async def main() -> None:
    """Make the calls."""
    parser = argparse.ArgumentParser(description="Calls with a scripted Pipecat agent.")
    parser.add_argument("--url", default="ws://127.0.0.1:8790/ws", help="where the exporter is; empty to attach nothing")
    parser.add_argument("--agent", default="pharmacy")
    parser.add_argument("--calls", type=int, default=1)
    options = parser.parse_args()
    scripts = await asyncio.gather(*(call(options.url, options.agent) for _ in range(options.calls)))
    json.dump([asdict(script.truth) for script in scripts], sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    asyncio.run(main())
