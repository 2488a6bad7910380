"""Stand-ins for a caller, a recogniser, a language model and a voice: Pipecat's own base classes, with a script and known delays.

Audio frames flow as in a real call. Pipecat's voice activity detection, turn taking, interruptions and function calls do their work.
Nothing here needs an account, a model or a sound card. It runs with Pipecat 1.0 and newer.
"""

import asyncio
import logging
import math
import struct
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field, fields
from typing import Any

from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FunctionCallFromLLM,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.metrics.metrics import LLMTokenUsage
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.utils.time import time_now_iso8601

logger = logging.getLogger("stand-ins")
RATE = 16_000
FRAME = 0.02
"""Seconds of an audio frame."""
VOICE_SECONDS_PER_CHARACTER = 0.03
PATIENCE = 15.0
"""Seconds that the caller waits for the agent."""


@dataclass(frozen=True)
class Delays:
    """How long each stand-in takes, in seconds."""

    transcription: float = 0.15
    first_token: float = 0.3
    generation: float = 0.2
    first_audio: float = 0.2
    tool: float = 0.25


@dataclass(frozen=True)
class Line:
    """What the caller says, and what the agent makes of it. ``barge_in`` is how far into the agent's speech the caller begins."""

    says: str
    seconds: float
    answer: str
    tool: str | None = None
    pause: float = 0.4
    barge_in: float | None = None
    fails: bool = False
    fatal: bool = False
    """Whether the pipeline ends when the model fails."""


@dataclass
class Truth:
    """What really happened, by the clocks of the stand-ins: moments in unix seconds, waits in seconds, amounts."""

    caller_stopped: list[float] = field(default_factory=list)
    transcribed: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    """When the model was asked, by the turn's first request."""
    agent_began: list[float] = field(default_factory=list)
    """When audio was played after a gap."""
    first_tokens: list[float] = field(default_factory=list)
    """How long the model took to the first token of what was spoken."""
    first_audio: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    characters: int = 0
    tools: list[str] = field(default_factory=list)


@dataclass
class Script:
    """The call: its lines, and how far it has come."""

    lines: list[Line]
    delays: Delays = field(default_factory=Delays)
    truth: Truth = field(default_factory=Truth)
    at: int = -1

    @property
    def line(self) -> Line:
        """The line that the caller has said last."""
        return self.lines[max(self.at, 0)]


class LoudnessVAD(VADAnalyzer):
    """Takes for speech what is loud."""

    def num_frames_required(self) -> int:
        """Samples that are judged at once: 10 ms."""
        return self.sample_rate // 100

    def voice_confidence(self, buffer: bytes) -> float:
        """1 for the caller's tone, 0 for silence."""
        return 1.0 if max(abs(sample) for (sample,) in struct.iter_unpack("<h", buffer)) > 1_000 else 0.0


def vad() -> LoudnessVAD:
    """The detector, which needs 0.2 s of speech or silence to be sure."""
    return LoudnessVAD(params=VADParams(confidence=0.5, start_secs=0.2, stop_secs=0.2, min_volume=0.0))


class ScriptedCaller(BaseInputTransport):
    """Says the lines of the script: each after the agent has fallen silent, or into the agent's speech."""

    hang_up: Callable[[], Awaitable[Any]]
    """Ends the call, after the last line was answered."""

    def __init__(self, script: Script) -> None:
        super().__init__(TransportParams(audio_in_enabled=True, audio_in_sample_rate=RATE))
        self._script = script
        self._speaking, self._silent = asyncio.Event(), asyncio.Event()
        self._tone = tone(RATE, FRAME)
        self._frames_left = 0
        self._said = asyncio.Event()
        self._started: list[asyncio.Task[Any]] = []

    async def start(self, frame: StartFrame) -> None:
        """The call begins."""
        await super().start(frame)
        await self.set_transport_ready(frame)
        if not self._started:
            self._started = [self.create_task(self._send_audio()), self.create_task(self._say_lines())]

    async def cleanup(self) -> None:
        """The call is over."""
        for task in self._started:
            await self.cancel_task(task)
        self._started = []
        await super().cleanup()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Listen to the agent."""
        await super().process_frame(frame, direction)
        if isinstance(frame, BotStartedSpeakingFrame):
            self._silent.clear()
            self._speaking.set()
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self._speaking.clear()
            self._silent.set()

    async def _send_audio(self) -> None:
        """Frames of audio without a gap, as from a telephone line."""
        due = time.monotonic()
        while True:
            speech = self._frames_left > 0
            await self.push_audio_frame(InputAudioRawFrame(self._tone if speech else bytes(len(self._tone)), RATE, 1))
            if speech:
                self._frames_left -= 1
                if not self._frames_left:
                    self._script.truth.caller_stopped.append(time.time())
                    self._said.set()
            due += FRAME
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _say_lines(self) -> None:
        try:
            await self._talk()
        except TimeoutError:
            logger.warning("the agent did not answer the caller, who hangs up")
        await self.hang_up()

    async def _talk(self) -> None:
        for number, line in enumerate(self._script.lines):
            await _soon(self._speaking)
            if line.barge_in is None:
                await _soon(self._silent)
                await asyncio.sleep(line.pause)
            else:
                await asyncio.sleep(line.barge_in)
            self._script.at = number
            self._silent.clear()
            self._said.clear()
            self._frames_left = round(line.seconds / FRAME)
            await self._said.wait()
            self._speaking.clear()
        await _soon(self._speaking)
        await _soon(self._silent)
        await asyncio.sleep(self._script.line.pause)


class Earpiece(BaseOutputTransport):
    """Plays the agent's audio to nobody, in real time."""

    def __init__(self, script: Script) -> None:
        super().__init__(TransportParams(audio_out_enabled=True, audio_out_sample_rate=RATE, audio_out_end_silence_secs=0))
        self._script = script
        self._plays_until = 0.0

    async def start(self, frame: StartFrame) -> None:
        """The call begins."""
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Play a frame: it takes as long as it lasts. A frame after a gap is the beginning of speech."""
        now = time.time()
        if now - self._plays_until > 0.15:
            self._script.truth.agent_began.append(now)
            self._plays_until = now
        self._plays_until += len(frame.audio) / 2 / RATE
        # At least a while: Pipecat takes an agent that is interrupted between two frames for one that begins to speak again.
        await asyncio.sleep(max(FRAME / 2, self._plays_until - time.time()))
        return True


class ScriptedSTTService(SegmentedSTTService):
    """Knows what the caller said."""

    def __init__(self, script: Script) -> None:
        super().__init__(ttfs_p99_latency=0.3, settings=settings(STTSettings, model="scripted-ear"))
        self._script = script

    def can_generate_metrics(self) -> bool:
        """Yes."""
        return True

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame, None]:  # noqa: ARG002 - the script knows what was said
        """The line of the script, after a while."""
        await asyncio.sleep(self._script.delays.transcription)
        self._script.truth.transcribed.append(time.time())
        yield TranscriptionFrame(self._script.line.says, "caller", time_now_iso8601())


class ScriptedLLMService(LLMService):
    """Gives the answers of the script, if need be after a function call."""

    def __init__(self, script: Script) -> None:
        super().__init__(settings=settings(LLMSettings, model="scripted-mind"))
        self._script = script
        self._asked: set[int] = set()

    def can_generate_metrics(self) -> bool:
        """Yes."""
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a context as Pipecat's services for real models do."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        try:
            await self.push_frame(LLMFullResponseStartFrame())
            await self.start_processing_metrics()
            await self._answer(frame.context)
        except RuntimeError as error:
            await self.push_error(error_msg=str(error), exception=error, fatal=self._script.line.fatal)
        finally:
            await self.stop_processing_metrics()
            await self.push_frame(LLMFullResponseEndFrame())

    async def _answer(self, context: Any) -> None:
        line, delays, truth = self._script.line, self._script.delays, self._script.truth
        began = time.time()
        if self._script.at not in self._asked:
            truth.asked.append(began)
        await self.start_ttfb_metrics()
        await asyncio.sleep(delays.first_token)
        if line.fails and self._script.at not in self._asked:
            self._asked.add(self._script.at)
            raise RuntimeError("the scripted mind has no idea")
        await self.stop_ttfb_metrics()
        if line.tool is not None and self._script.at not in self._asked:
            self._asked.add(self._script.at)
            await self._used(completion=7)
            await self.run_function_calls(
                [FunctionCallFromLLM(line.tool, f"call-{self._script.at}", {"line": self._script.at}, context)]
            )
            return
        truth.first_tokens.append(time.time() - began)
        words = line.answer.split(" ")
        for position, word in enumerate(words):
            await self.push_frame(LLMTextFrame(word if position == 0 else f" {word}"))
            await asyncio.sleep(delays.generation / len(words))
        await self._used(completion=len(words))

    async def _used(self, completion: int, prompt: int = 100) -> None:
        self._script.truth.prompt_tokens += prompt
        self._script.truth.completion_tokens += completion
        await self.start_llm_usage_metrics(
            LLMTokenUsage(
                prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion, cache_read_input_tokens=40
            )
        )


class ScriptedTTSService(TTSService):
    """Hums for as long as it would take to say the text."""

    def __init__(self, script: Script) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            stop_frame_timeout_s=0.5,
            sample_rate=RATE,
            settings=settings(TTSSettings, model="scripted-voice", voice="hum"),
        )
        self._script = script
        self._hum = tone(RATE, 0.1)

    def can_generate_metrics(self) -> bool:
        """Yes."""
        return True

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame, None]:
        """Audio, after a while."""
        self._script.truth.characters += len(text)
        await self.start_tts_usage_metrics(text)
        began = time.time()
        await asyncio.sleep(self._script.delays.first_audio)
        self._script.truth.first_audio.append(time.time() - began)
        for _ in range(max(1, round(len(text) * VOICE_SECONDS_PER_CHARACTER / 0.1))):
            yield TTSAudioRawFrame(self._hum, RATE, 1, context_id=context_id)
            await asyncio.sleep(0)  # the first of it is played while the rest is made


async def _soon(event: asyncio.Event) -> None:
    """Wait for something that the agent does, but not for ever: a busy machine can keep Pipecat from telling of it."""
    await asyncio.wait_for(event.wait(), PATIENCE)


def tone(rate: int, seconds: float) -> bytes:
    """So much of a tone, as 16-bit samples."""
    samples = (round(8_000 * math.sin(2 * math.pi * 440 * n / rate)) for n in range(round(rate * seconds)))
    return b"".join(struct.pack("<h", sample) for sample in samples)


def settings(kind: Any, **given: Any) -> Any:
    """Settings of which nothing is left open."""
    return kind(**{item.name: None for item in fields(kind) if item.name != "extra"} | given)
