# mypy: ignore-errors
# It runs where Pipecat is installed, which is not where types are checked.
"""Stands in for a speech-to-speech model, with known delays.

Pipecat has no base class for such models alone. This one is built as Pipecat's services for them are: on ``LLMService``, with the same
frames and the same calls of its metrics, for turns that the pipeline detects.
"""

import asyncio
import time
from typing import Any

from bot import PipelineParams, PipelineWorker
from pipecat.frames.frames import (
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    UserStoppedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import LLMTokenUsage
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from stand_ins import RATE, Earpiece, Script, ScriptedCaller, settings, tone, vad

SECONDS = 0.5
"""How long an answer takes to say."""


class ScriptedRealtimeLLMService(LLMService):
    """Hums when the call begins, and whenever the user's turn is over."""

    def __init__(self, script: Script) -> None:
        super().__init__(settings=settings(LLMSettings, model="scripted-conversation"))
        self._script = script
        self._hum = tone(RATE, 0.1)

    def can_generate_metrics(self) -> bool:
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame | UserStoppedSpeakingFrame) and direction == FrameDirection.DOWNSTREAM:
            self.create_task(self._answer())
        elif isinstance(frame, VADUserStoppedSpeakingFrame) and direction == FrameDirection.DOWNSTREAM:
            heard = TranscriptionFrame(self._script.line.says, "caller", time_now_iso8601())
            await self.push_frame(heard, FrameDirection.UPSTREAM)

    async def _answer(self) -> None:
        truth, began = self._script.truth, time.time()
        await self.push_frame(LLMFullResponseStartFrame())
        await self.start_processing_metrics()
        await self.start_ttfb_metrics()
        await asyncio.sleep(self._script.delays.first_token)
        await self.stop_ttfb_metrics()
        truth.first_tokens.append(time.time() - began)
        await self.push_frame(TTSStartedFrame())
        for _ in range(round(SECONDS / 0.1)):
            await self.push_frame(TTSAudioRawFrame(self._hum, RATE, 1))
        used = LLMTokenUsage(prompt_tokens=60, completion_tokens=20, total_tokens=80, input_audio_tokens=50, output_audio_tokens=15)
        truth.prompt_tokens += used.prompt_tokens
        truth.completion_tokens += used.completion_tokens
        await self.start_llm_usage_metrics(used)
        await self.stop_processing_metrics()
        await self.push_frame(TTSStoppedFrame())
        await self.push_frame(LLMFullResponseEndFrame())


def realtime_worker(script: Script) -> Any:
    """A pipeline as in any bot with such a model."""
    caller = ScriptedCaller(script)
    turns = UserTurnStrategies(stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.3)])
    how = LLMUserAggregatorParams(user_turn_strategies=turns, vad_analyzer=vad())
    user, assistant = LLMContextAggregatorPair(LLMContext(), user_params=how)
    params = PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE, enable_metrics=True, enable_usage_metrics=True)
    stages = [caller, user, ScriptedRealtimeLLMService(script), Earpiece(script), assistant]
    worker = PipelineWorker(Pipeline(stages), params=params, enable_rtvi=False)
    caller.hang_up = worker.stop_when_done
    return worker
