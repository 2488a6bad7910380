"""Pipecat's frames → what a conversation understands.

Classes of frames are found by their names: a version of Pipecat that has none of one never pushes it.
"""

import importlib
from collections.abc import Callable
from typing import Any, Final

from pipecat.processors.frame_processor import FrameDirection

from agentstack_tap.pipecat.conversation import Conversation
from agentstack_tap.pipecat.endings import Ending, ending_of
from agentstack_tap.pipecat.readings import readings_of
from agentstack_tap.pipecat.services import Service, service_named, service_of

Handler = Callable[[Any, float], None]
"""Takes what Pipecat says of a frame that a processor passes on (``FramePushed``), and when that was."""
_FRAMES: Final = "pipecat.frames.frames"
_REMEMBERED: Final = 512
"""Frames that are remembered, where Pipecat does not say which were shown before."""


class Frames:
    """Tells a conversation of the frames of one pipeline."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._services: dict[str, Service] = {}
        self._seen: dict[int, None] = {}
        self._by_class = self._known()

    def handler_of(self, kind: type) -> Handler | None:
        """The handler of a class of frames: that of its nearest base class that has one."""
        return next((self._by_class[base] for base in kind.__mro__ if base in self._by_class), None)

    def _known(self) -> dict[type, Handler]:
        """The handlers by class. A frame that is broadcast goes both ways, as two frames."""
        handlers = {name: self._first(handler, downstream=True) for name, handler in self._downstream().items()}
        handlers |= {
            "TranscriptionFrame": self._first(self._transcript),
            "InterimTranscriptionFrame": self._first(self._partial_transcript),
            "ErrorFrame": self._first(self._error),
            "LLMTextFrame": self._text,
            "TTSAudioRawFrame": self._audio,
        }
        frames = importlib.import_module(_FRAMES)
        return {getattr(frames, name): handler for name, handler in handlers.items() if hasattr(frames, name)}

    def _downstream(self) -> dict[str, Handler]:
        return {
            "StartFrame": self._start,
            "EndFrame": self._end,
            "StopFrame": self._end,
            "CancelFrame": self._end,
            "VADUserStartedSpeakingFrame": self._vad_started,
            "VADUserStoppedSpeakingFrame": self._vad_stopped,
            "UserStartedSpeakingFrame": self._user_started,
            "UserStoppedSpeakingFrame": self._user_stopped,
            "BotStartedSpeakingFrame": self._bot_started,
            "BotStoppedSpeakingFrame": self._bot_stopped,
            "InterruptionFrame": self._interruption,
            "EagerEndOfTurnCancelFrame": self._speculation_dropped,
            "LLMFullResponseStartFrame": self._work_started,
            "LLMFullResponseEndFrame": self._work_ended,
            "TTSStartedFrame": self._voice_started,
            "TTSStoppedFrame": self._voice_ended,
            "MetricsFrame": self._metrics,
            "FunctionCallInProgressFrame": self._tool_started,
            "FunctionCallResultFrame": self._tool_ended,
            "FunctionCallCancelFrame": self._tool_cancelled,
        }

    def _first(self, handler: Handler, *, downstream: bool = False) -> Handler:
        """A handler that takes each frame once: a frame is pushed again by every processor that passes it on."""

        def handle(data: Any, at: float) -> None:
            if (not downstream or data.direction == FrameDirection.DOWNSTREAM) and self._is_new(data):
                handler(data, at)

        return handle

    def _is_new(self, data: Any) -> bool:
        first = getattr(data, "first_push", None)
        if first is not None:
            return bool(first)
        if data.frame.id in self._seen:  # before Pipecat 1.12
            return False
        self._seen[data.frame.id] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True

    def _start(self, _: Any, at: float) -> None:
        self._conversation.begin(at)

    def _vad_started(self, data: Any, _: float) -> None:
        self._conversation.user_speech_started(data.frame.timestamp - data.frame.start_secs)

    def _vad_stopped(self, data: Any, _: float) -> None:
        self._conversation.user_speech_stopped(data.frame.timestamp - data.frame.stop_secs)

    def _user_started(self, _: Any, at: float) -> None:
        self._conversation.user_turn_started(at)

    def _user_stopped(self, _: Any, at: float) -> None:
        self._conversation.user_turn_stopped(at)

    def _bot_started(self, _: Any, at: float) -> None:
        self._conversation.agent_started(at)

    def _bot_stopped(self, _: Any, at: float) -> None:
        self._conversation.agent_stopped(at)

    def _interruption(self, _: Any, at: float) -> None:
        self._conversation.interrupted(at)

    def _speculation_dropped(self, _: Any, at: float) -> None:
        """The model answered before the user's turn was over, which then it was not: the services drop that answer."""
        self._conversation.work.interrupted(at)

    def _transcript(self, data: Any, at: float) -> None:
        self._conversation.transcript(at, str(data.frame.text), _language(data.frame), final=True)

    def _partial_transcript(self, data: Any, at: float) -> None:
        self._conversation.transcript(at, str(data.frame.text), _language(data.frame), final=False)

    def _work_started(self, data: Any, at: float) -> None:
        service = self._service(data.source)
        if service.kind is not None:
            self._conversation.work_started(at, service.kind, service)

    def _work_ended(self, data: Any, _: float) -> None:
        self._conversation.work.ended(self._service(data.source))

    def _voice_started(self, data: Any, at: float) -> None:
        """A voice began to work. Speech-to-speech models say so too, of a request that began before."""
        service = self._service(data.source)
        if service.kind == "tts":
            self._conversation.work_started(at, "tts", service)

    def _voice_ended(self, data: Any, _: float) -> None:
        service = self._service(data.source)
        if service.kind == "tts":
            self._conversation.work.ended(service)

    def _text(self, data: Any, _: float) -> None:
        self._conversation.work.answered(self._service(data.source))

    def _audio(self, data: Any, _: float) -> None:
        """Audio from a service. The output transport cuts it anew: what comes from there is the same audio again."""
        service, frame = self._service(data.source), data.frame
        if service.kind in ("tts", "llm") and frame.sample_rate:
            self._conversation.work.spoke(service.kind, service, frame.num_frames / frame.sample_rate)

    def _metrics(self, data: Any, at: float) -> None:
        for entry in data.frame.data:
            numbers = readings_of(entry)
            if "turn_probability" in numbers:
                self._conversation.turn_judged(complete=bool(numbers["turn_complete"]), probability=numbers["turn_probability"])
                continue
            service = self._service(data.source)
            if service.label != entry.processor:
                service = self._services.get(entry.processor) or service_named(entry.processor)
            if service.kind is not None and any(numbers.values()):
                self._conversation.work.measured(at, service.kind, service, entry.model, numbers)

    def _tool_started(self, data: Any, _: float) -> None:
        self._conversation.tools.started(data.frame.tool_call_id)

    def _tool_ended(self, data: Any, at: float) -> None:
        frame = data.frame
        if frame.properties is None or getattr(frame.properties, "is_final", True):
            failed = bool(getattr(frame, "error", None))
            self._conversation.tools.ended(
                at, frame.tool_call_id, frame.function_name, failed=failed, arguments=frame.arguments, output=frame.result
            )

    def _tool_cancelled(self, data: Any, at: float) -> None:
        """A call that ran past its deadline failed; Pipecat then asks the model to go on without it."""
        frame = data.frame
        if getattr(frame, "run_llm", False):
            self._conversation.tools.ended(at, frame.tool_call_id, frame.function_name, failed=True)
        else:
            self._conversation.tools.cancelled(frame.tool_call_id)

    def _error(self, data: Any, _: float) -> None:
        frame = data.frame
        category = getattr(getattr(frame, "category", None), "value", None)
        exception = getattr(frame, "exception", None)
        code = category or (type(exception).__name__ if exception is not None else "unknown")
        source = self._service(getattr(frame, "processor", None) or data.source).kind
        self._conversation.failed(code, str(frame.error), "application" if category == "application" else source)
        if getattr(frame, "fatal", False):
            self._conversation.ends(Ending("error", str(frame.error)))

    def _end(self, data: Any, _: float) -> None:
        self._conversation.ends(ending_of(type(data.frame).__name__, getattr(data.frame, "reason", None)))

    def _service(self, processor: Any) -> Service:
        found = self._services.get(processor.name)
        if found is None:
            found = self._services[processor.name] = service_of(processor)
        return found


def _language(frame: Any) -> str | None:
    language = getattr(frame, "language", None)
    return None if language is None else str(getattr(language, "value", language))
