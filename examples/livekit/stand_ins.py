"""Stand-ins for what a real session has accounts for: speech recognition, model and voice, on LiveKit's own base classes.

Each has a delay that is known, so that the numbers on /metrics can be compared with the truth. Audio is real: a tone for the caller's
speech, which a voice activity detector finds by its loudness, and a tone for the agent's.
"""

import asyncio
import json
import math
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc
from livekit.agents import APIConnectionError, llm, stt, tts, vad
from livekit.agents.voice import io

RATE = 16_000
FRAME = 0.02
"""Sample rate, and seconds of a frame of audio."""
LOUD = 1_000
"""Amplitude above which a frame is speech."""
SECONDS_A_CHARACTER = 0.02
"""How fast the agent speaks."""


@dataclass(frozen=True)
class Delays:
    """Seconds that each stand-in takes."""

    transcript: float = 0.12
    silence: float = 0.2
    endpointing: float = 0.35
    first_token: float = 0.2
    first_audio: float = 0.15
    tool: float = 0.1


@dataclass
class Truth:
    """What really happened, by the clock of the stand-ins: unix seconds and seconds."""

    caller_stopped: list[float] = field(default_factory=list)
    agent_started: list[float] = field(default_factory=list)
    transcripts: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    first_audio: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    characters: int = 0
    audio: float = 0.0
    played: list[float] = field(default_factory=list)


def tone(seconds: float, *, amplitude: int, hertz: int = 400) -> bytes:
    """So much of a tone, as 16-bit samples: one wave of it, again and again."""
    wave = array("h", (round(amplitude * math.sin(2 * math.pi * hertz * number / RATE)) for number in range(RATE // hertz)))
    samples = round(seconds * RATE)
    return (wave.tobytes() * (samples // len(wave) + 1))[: 2 * samples]


def is_loud(frame: rtc.AudioFrame) -> bool:
    """Whether the caller speaks in a frame."""
    return max(frame.data[:40], default=0) > LOUD  # a wave of it


class Caller(io.AudioInput):
    """The caller's line: silence, and a tone where the caller speaks, a frame every 20 ms."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(label="caller")
        self._truth = truth
        self._loud = tone(FRAME, amplitude=8_000)
        self._silent = bytes(len(self._loud))
        self._frames = 0
        self._next = 0.0
        self._spoken = asyncio.Event()

    async def speak(self, seconds: float) -> None:
        """Speak for so long. Returns when the last frame was sent."""
        self._frames = max(1, round(seconds / FRAME))
        self._spoken.clear()
        await self._spoken.wait()

    async def __anext__(self) -> rtc.AudioFrame:
        now = time.monotonic()
        self._next = max(self._next + FRAME, now - 0.1)
        await asyncio.sleep(max(0.0, self._next - now))
        speaks = self._frames > 0
        if speaks:
            self._frames -= 1
            if not self._frames:
                self._truth.caller_stopped.append(time.time())
                self._spoken.set()
        data = self._loud if speaks else self._silent
        return rtc.AudioFrame(data=data, sample_rate=RATE, num_channels=1, samples_per_channel=len(data) // 2)


class Speaker(io.AudioOutput):
    """What the caller hears: plays what it is given as fast as a loudspeaker would, without the sound."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(label="speaker", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=RATE)
        self._truth = truth
        self._began: float | None = None
        self._seconds = 0.0
        self._playing: asyncio.Task[None] | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if self._began is None:
            self._began = time.time()
            self._truth.agent_started.append(self._began)
            if hasattr(self, "on_playback_started"):  # LiveKit learned to ask when the playback began
                self.on_playback_started(created_at=self._began)
        self._seconds += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._began is not None and self._playing is None:
            self._playing = asyncio.create_task(self._play())

    def clear_buffer(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
        if self._began is not None:
            self._over(min(self._seconds, time.time() - self._began), interrupted=True)

    async def _play(self) -> None:
        if self._began is not None:
            await asyncio.sleep(max(0.0, self._began + self._seconds - time.time()))
            self._over(self._seconds, interrupted=False)

    def _over(self, position: float, *, interrupted: bool) -> None:
        self._truth.played.append(position)
        self._began, self._seconds, self._playing = None, 0.0, None
        self.on_playback_finished(playback_position=position, interrupted=interrupted)


class Detector(vad.VAD):
    """Voice activity: loud is speech. Speech is over after so much silence."""

    def __init__(self, delays: Delays) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=FRAME))
        self.delays = delays

    def stream(self) -> "vad.VADStream":
        return _DetectorStream(self)


class _DetectorStream(vad.VADStream):
    async def _main_task(self) -> None:
        speaking, speech, silence, index = False, 0.0, 0.0, 0
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            index += frame.samples_per_channel
            if is_loud(frame):
                speech, silence = speech + frame.duration, 0.0
            else:
                silence += frame.duration
            self._tell(vad.VADEventType.INFERENCE_DONE, index, speech, silence, speaking=speaking)
            if not speaking and speech >= 3 * FRAME:
                speaking = True
                self._tell(vad.VADEventType.START_OF_SPEECH, index, speech, silence, speaking=True)
            elif speaking and silence >= self._vad.delays.silence:
                speaking = False
                self._tell(vad.VADEventType.END_OF_SPEECH, index, speech, silence, speaking=False)
            if not speaking and silence > 0:
                speech = 0.0

    def _tell(self, kind: vad.VADEventType, index: int, speech: float, silence: float, *, speaking: bool) -> None:
        self._event_ch.send_nowait(
            vad.VADEvent(
                type=kind,
                samples_index=index,
                timestamp=time.time(),
                speech_duration=speech,
                silence_duration=silence,
                speaking=speaking,
                raw_accumulated_speech=0.0 if silence else speech,
                raw_accumulated_silence=silence,
            )
        )


class Recogniser(stt.STT):
    """Speech recognition: each utterance becomes the next of the texts, so long after its last loud frame."""

    def __init__(self, texts: list[str], delays: Delays, truth: Truth) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self.texts: Iterator[str] = iter(texts)
        self.delays = delays
        self.truth = truth

    @property
    def model(self) -> str:
        return "scripted-ears"

    @property
    def provider(self) -> str:
        return "stand-in"

    async def _recognize_impl(self, *_: Any, **__: Any) -> stt.SpeechEvent:
        raise NotImplementedError("it streams")

    def stream(self, *, conn_options: Any = None, **_: Any) -> "stt.RecognizeStream":
        return _RecogniserStream(stt=self, conn_options=conn_options)


class _RecogniserStream(stt.RecognizeStream):
    async def _run(self) -> None:
        heard, last = 0.0, 0.0
        writing: set[asyncio.Task[None]] = set()
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            if is_loud(frame):
                heard, last = heard + frame.duration, time.time()
            elif heard:
                task = asyncio.create_task(self._write(heard, last))
                writing.add(task)
                task.add_done_callback(writing.discard)
                heard = 0.0

    async def _write(self, heard: float, last: float) -> None:
        await asyncio.sleep(max(0.0, last + self._stt.delays.transcript - time.time()))
        text = next(self._stt.texts, "")
        if not text:
            return
        self._stt.truth.transcripts.append(time.time() - last)
        said = stt.SpeechData(language="en", text=text, confidence=0.9)
        self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[said]))
        used = stt.RecognitionUsage(audio_duration=heard)
        self._event_ch.send_nowait(
            stt.SpeechEvent(type=stt.SpeechEventType.RECOGNITION_USAGE, request_id="ears", recognition_usage=used)
        )


class Model(llm.LLM):
    """The model: answers each of the caller's texts as ``answers`` says. ``tool:NAME`` calls a tool, ``fail`` raises."""

    def __init__(self, answers: dict[str, str], delays: Delays, truth: Truth) -> None:
        super().__init__()
        self.answers = answers
        self.delays = delays
        self.truth = truth

    @property
    def model(self) -> str:
        return "scripted-mind"

    @property
    def provider(self) -> str:
        return "stand-in"

    def chat(self, *, chat_ctx: Any, tools: Any = None, conn_options: Any = None, **_: Any) -> "llm.LLMStream":
        return _ModelStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _ModelStream(llm.LLMStream):
    async def _run(self) -> None:
        began = time.perf_counter()
        last = self._chat_ctx.items[-1]
        if last.type == "function_call_output":
            answer = f"It says {last.output}."
        else:
            messages = [item for item in self._chat_ctx.items if item.type == "message" and item.role == "user"]
            answer = self._llm.answers.get(messages[-1].text_content if messages else "", "I see.")
        if answer == "fail":
            raise APIConnectionError("the stand-in was told to fail", retryable=False)
        await asyncio.sleep(self._llm.delays.first_token)
        self._llm.truth.first_tokens.append(time.perf_counter() - began)
        name = answer.removeprefix("tool:")
        words = [] if name != answer else answer.split(" ")
        if not words:
            call = llm.FunctionToolCall(name=name, arguments=json.dumps({}), call_id=f"call-{began}")
            self._send(llm.ChoiceDelta(role="assistant", tool_calls=[call]))
        for number, word in enumerate(words):
            self._send(llm.ChoiceDelta(role="assistant", content=word if not number else f" {word}"))
            await asyncio.sleep(0.005)
        self._llm.truth.prompt_tokens += 50
        self._llm.truth.completion_tokens += len(words) or 5
        usage = llm.CompletionUsage(completion_tokens=len(words) or 5, prompt_tokens=50, total_tokens=50 + (len(words) or 5))
        self._event_ch.send_nowait(llm.ChatChunk(id="mind", usage=usage))

    def _send(self, delta: Any) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id="mind", delta=delta))


class Voice(tts.TTS):
    """The voice: a tone, as long as the text."""

    def __init__(self, delays: Delays, truth: Truth) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=RATE, num_channels=1)
        self.delays = delays
        self.truth = truth

    @property
    def model(self) -> str:
        return "scripted-voice"

    @property
    def provider(self) -> str:
        return "stand-in"

    def synthesize(self, text: str, **_: Any) -> Any:
        raise NotImplementedError("it streams")

    def stream(self, *, conn_options: Any = None, **_: Any) -> "tts.SynthesizeStream":
        return _VoiceStream(tts=self, conn_options=conn_options)


class _VoiceStream(tts.SynthesizeStream):
    async def _run(self, emitter: Any) -> None:
        emitter.initialize(request_id="voice", sample_rate=RATE, num_channels=1, mime_type="audio/pcm", frame_size_ms=100, stream=True)
        emitter.start_segment(segment_id="segment")
        text, began = "", 0.0
        async for part in self._input_ch:
            if not isinstance(part, str):
                continue
            if not text:
                began = time.perf_counter()
                self._mark_started()
            text += part
        if not text:
            return
        await asyncio.sleep(max(0.0, began + self._tts.delays.first_audio - time.perf_counter()))
        self._tts.truth.first_audio.append(time.perf_counter() - began)
        self._tts.truth.characters += len(text)
        self._tts.truth.audio += len(text) * SECONDS_A_CHARACTER
        emitter.push(tone(len(text) * SECONDS_A_CHARACTER, amplitude=6_000, hertz=320))
        emitter.end_segment()
