# mypy: ignore-errors
# It runs where LiveKit Agents is installed, which is not where types are checked.
"""Stands in for a speech-to-speech model, on LiveKit's own base classes, with known delays. It detects turns by itself."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any

from livekit import rtc
from livekit.agents import llm
from livekit.agents.metrics import RealtimeModelMetrics
from stand_ins import FRAME, RATE, Delays, Truth, is_loud, tone

ANSWER = "Lamps and chairs."
SECONDS = 0.6
"""How long the answer takes to say."""
USED = {"input_tokens": 40, "output_tokens": 30, "total_tokens": 70}
"""Tokens of a response. Of those that went in, so many were audio and cached; of those that came out, so many were audio."""
AUDIO_IN, CACHED, AUDIO_OUT = 35, 8, 25


class RealtimeModel(llm.RealtimeModel):
    """The model. It says ``ANSWER`` whenever the caller has spoken."""

    def __init__(self, delays: Delays, truth: Truth) -> None:
        known = {field.name for field in fields(llm.RealtimeCapabilities)}
        wanted = dict.fromkeys(known, False) | {"turn_detection": True, "user_transcription": True, "audio_output": True}
        super().__init__(capabilities=llm.RealtimeCapabilities(**{name: value for name, value in wanted.items() if name in known}))
        self.delays = delays
        self.truth = truth

    @property
    def model(self) -> str:
        return "scripted-conversation"

    @property
    def provider(self) -> str:
        return "stand-in"

    def session(self, **_: Any) -> "_Session":
        return _Session(self)

    async def aclose(self) -> None:
        pass


class _Session(llm.RealtimeSession):
    def __init__(self, model: RealtimeModel) -> None:
        super().__init__(model)
        self._model = model
        self._context, self._tools = llm.ChatContext.empty(), llm.ToolContext.empty()
        self._speech, self._silence = 0.0, 0.0
        self._answering: set[asyncio.Task[None]] = set()
        self._answers = 0

    @property
    def chat_ctx(self) -> llm.ChatContext:
        return self._context

    @property
    def tools(self) -> llm.ToolContext:
        return self._tools

    async def update_instructions(self, instructions: str) -> None:
        pass

    async def update_chat_ctx(self, chat_ctx: llm.ChatContext) -> None:
        self._context = chat_ctx

    async def update_tools(self, tools: list[Any]) -> None:
        pass

    def update_options(self, **_: Any) -> None:
        pass

    def push_video(self, frame: Any) -> None:
        pass

    def generate_reply(self, **_: Any) -> asyncio.Future[Any]:
        raise NotImplementedError("it answers when the caller has spoken")

    def commit_audio(self) -> None:
        pass

    def clear_audio(self) -> None:
        pass

    def interrupt(self) -> None:
        pass

    def truncate(self, **_: Any) -> None:
        pass

    async def aclose(self) -> None:
        for task in self._answering:
            task.cancel()

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        """Listen. Speech is over after so much silence."""
        if is_loud(frame):
            if not self._speech:
                self.emit("input_speech_started", llm.InputSpeechStartedEvent())
            self._speech, self._silence = self._speech + frame.duration, 0.0
        elif self._speech:
            self._silence += frame.duration
            if self._silence >= self._model.delays.silence:
                self._speech = 0.0
                self.emit("input_speech_stopped", llm.InputSpeechStoppedEvent(user_transcription_enabled=True))
                task = asyncio.create_task(self._answer())
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)

    async def _answer(self) -> None:
        self._answers += 1
        created, name = time.time(), f"answer-{self._answers}"
        heard = llm.InputTranscriptionCompleted(item_id=f"said-{self._answers}", transcript="a question", is_final=True)
        self.emit("input_audio_transcription_completed", heard)
        await asyncio.sleep(self._model.delays.first_token)
        first = time.time() - created
        self._model.truth.first_tokens.append(first)
        modalities = asyncio.get_running_loop().create_future()
        modalities.set_result(["audio", "text"])
        message = llm.MessageGeneration(
            message_id=name, text_stream=_each(ANSWER), audio_stream=_each(*_frames()), modalities=modalities
        )
        self.emit(
            "generation_created",
            llm.GenerationCreatedEvent(message_stream=_each(message), function_stream=_each(), user_initiated=False),
        )
        self._measure(created, first, name)

    def _measure(self, created: float, first: float, name: str) -> None:
        inputs = RealtimeModelMetrics.InputTokenDetails(
            audio_tokens=AUDIO_IN, text_tokens=5, image_tokens=0, cached_tokens=CACHED, cached_tokens_details=None
        )
        outputs = RealtimeModelMetrics.OutputTokenDetails(audio_tokens=AUDIO_OUT, text_tokens=5, image_tokens=0)
        measured = RealtimeModelMetrics(
            label=self._model.label,
            request_id=name,
            timestamp=created,
            duration=time.time() - created,
            cancelled=False,
            ttft=first,
            tokens_per_second=100.0,
            input_token_details=inputs,
            output_token_details=outputs,
            metadata={"model_name": self._model.model, "model_provider": self._model.provider},
            **USED,
        )
        self._model.truth.prompt_tokens += measured.input_tokens
        self._model.truth.completion_tokens += measured.output_tokens
        self.emit("metrics_collected", measured)


def _frames() -> list[rtc.AudioFrame]:
    sound = tone(FRAME, amplitude=6_000, hertz=300)
    return [
        rtc.AudioFrame(data=sound, sample_rate=RATE, num_channels=1, samples_per_channel=len(sound) // 2)
        for _ in range(round(SECONDS / FRAME))
    ]


async def _each(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item
