"""One speech of the agent with what led to it: our turn. LiveKit's measurements name it by the id of its speech."""

from typing import Any, Final

from agentstack_tap.livekit import mapping
from agentstack_tap.livekit.mapping import Row, add, converted, read, rfc3339

MOST_REQUESTS: Final = 64
"""Requests to a model that are remembered of a turn, to find the one that answered."""
_SLACK: Final = 0.05
"""Seconds by which two readings of clocks may differ."""
_STAND_INS: Final = {
    "llm_ttft_ms": "sdk_llm_ttft_ms",
    "tts_ttfb_ms": "sdk_tts_ttfb_ms",
    "stt_delay_ms": "sdk_transcription_delay_ms",
    "turn_decision_ms": "sdk_end_of_turn_delay_ms",
    "turn_completed_callback_ms": "sdk_turn_completed_callback_ms",
}
"""The report in the messages stands in for measurements that did not come."""
_COMPLETED: Final = (
    *("turn_number", "agent_first", "user_text", "agent_text"),
    *("user_started_speaking_at", "user_stopped_speaking_at", "agent_started_speaking_at"),
)
_IN_SECONDS: Final = {
    "turn_decision_s": "turn_decision_ms",
    "transcription_delay_s": "stt_delay_ms",
    "llm_ttft_s": "llm_ttft_ms",
    "tts_ttfb_s": "tts_ttfb_ms",
    "realtime_ttft_s": "realtime_ttft_ms",
}


class Requests:
    """The requests of one turn to one component: what they add up to, and those that the answer may have come from."""

    def __init__(self, stage: str, request: tuple[Row, ...], total: tuple[Row, ...]) -> None:
        self._stage = stage
        self._request = request
        self._total = total
        self._totals: dict[str, Any] = {}
        self.made: list[Any] = []

    def over(self, metrics: Any) -> None:
        """A request is over."""
        add(self._totals, metrics, self._total)
        if len(self.made) < MOST_REQUESTS:
            self.made.append(metrics)

    def fields(self, answer: Any) -> dict[str, Any]:
        """The sums, what is said of the request ``answer``, and whether any was cancelled."""
        if answer is None:
            return {}
        cancelled = any(read(request, "cancelled") for request in self.made)
        return self._totals | converted(answer, self._request) | model_of(answer, self._stage) | {f"{self._stage}_cancelled": cancelled}

    def first(self) -> Any:
        """The first request that produced something, else the first."""
        return next((request for request in self.made if _first_after(request) >= 0), self.made[0] if self.made else None)

    def last_before(self, moment: float | None) -> Any:
        """The last request that had produced something by ``moment`` (unix seconds), else the first one that did, else the last."""
        productive = [request for request in self.made if _first_after(request) >= 0]
        if not productive:
            return self.made[-1] if self.made else None
        before = [request for request in productive if moment is None or _began(request) + _first_after(request) <= moment + _SLACK]
        return (before or productive[:1])[-1]


class Turn:
    """What is known of one turn. ``handle`` is LiveKit's handle on the agent's speech. Times are unix seconds."""

    def __init__(self, handle: Any, source: str | None, created_at: float, *, user_initiated: bool) -> None:
        self.handle = handle
        self.id = str(handle.id)
        self.source = source
        self.created_at = created_at
        self.user_initiated = user_initiated
        self.announced = self.done = self.interrupted = self.answers_message = False
        self.has_user = False
        """Whether the caller's turn came before, so that somebody waited for the agent."""
        self.reported_end: float | None = None
        """The delay of the decision that the caller's turn is over, by which the caller's message is found."""
        self.user_stopped: float | None = None
        self.started: float | None = None
        self.stopped: float | None = None
        self.error_source: str | None = None
        self.texts: dict[str, str] = {}
        self.llm = Requests("llm", mapping.LLM_REQUEST, mapping.LLM_TOTAL)
        self.tts = Requests("tts", mapping.TTS_REQUEST, mapping.TTS_TOTAL)
        self.realtime = Requests("realtime", mapping.REALTIME_RESPONSE, mapping.REALTIME_TOTAL)
        self._speaking_since: float | None = None
        self._spoken = self._reported = 0.0
        self._of_user: dict[str, Any] = {}
        self._of_agent: dict[str, Any] = {}

    @property
    def scheduled(self) -> bool:
        """Whether the speech will be said. Before LiveKit generated replies ahead, each of them was."""
        scheduled = read(self.handle, "scheduled")
        return True if scheduled is None else bool(scheduled)

    def heard(self, report: Any) -> None:
        """The caller's message, with its report if it has one."""
        self.has_user = self.answers_message = True
        self._of_user |= converted(report, mapping.USER_REPORT)
        self.user_stopped = read(report, "stopped_speaking_at") or self.user_stopped

    def ended(self, metrics: Any) -> None:
        """``EOUMetrics``: it was decided that the caller's turn is over."""
        self.has_user = True
        self.reported_end = read(metrics, "end_of_utterance_delay")
        self._of_user |= converted(metrics, mapping.END_OF_UTTERANCE) | method_of(metrics)
        self.user_stopped = self.user_stopped or read(metrics, "last_speaking_time") or None

    def answered(self, report: Any) -> None:
        """A message of the agent. Of several, the first one tells when the agent began, and the last one when it ended."""
        found = converted(report, mapping.AGENT_REPORT)
        self.has_user = self.has_user or "user_perceived_ms" in found
        if "agent_stopped_speaking_at" in found:
            self._of_agent["agent_stopped_speaking_at"] = found["agent_stopped_speaking_at"]
        self._of_agent = found | self._of_agent
        started, stopped = read(report, "started_speaking_at"), read(report, "stopped_speaking_at")
        if started is not None and stopped is not None:
            self._reported += max(0.0, stopped - started)

    def note_text(self, name: str, text: str) -> None:
        """Note what was said."""
        if text:
            self.texts[name] = f"{self.texts[name]} {text}" if name in self.texts else text

    def speaks(self, at: float) -> None:
        """The agent's audio begins, or goes on after a pause."""
        self.started = at if self.started is None else self.started
        self._speaking_since = at

    def silent(self, at: float) -> None:
        """The agent's audio ends or pauses."""
        if self._speaking_since is not None:
            self._spoken += max(0.0, at - self._speaking_since)
            self._speaking_since, self.stopped = None, at

    @property
    def spoken(self) -> float:
        """For how long the agent has spoken, in seconds: as reported, else by the states that the session went through."""
        return round(self._reported or self._spoken, 3)

    def metrics(self, number: int, between: dict[str, Any], pipeline: str) -> dict[str, Any]:
        """The turn as ``turn.metrics``."""
        found: dict[str, Any] = {
            "type": "turn.metrics",
            "turn_number": number,
            "interrupted": self.interrupted,
            "agent_first": not self.has_user,
            "pipeline": "s2s" if self.realtime.made else pipeline,
        }
        found |= between | self._of_user | self._when() | self.texts
        found |= self.llm.fields(self.llm.last_before(self.started)) | self.realtime.fields(self.realtime.first())
        found |= self.tts.fields(self.tts.first()) | self._synthesis()
        found |= {ours: found[report] for ours, report in _STAND_INS.items() if ours not in found and report in found}
        if self.error_source:
            found["error_source"] = self.error_source
        return found

    def completed(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """The turn as ``turn.completed``, from its ``turn.metrics``."""
        found = {"type": "turn.completed", "turn_id": self.id}
        found |= {name: metrics[name] for name in _COMPLETED if name in metrics}
        return found | {ours: metrics[name] / 1000 for ours, name in _IN_SECONDS.items() if name in metrics}

    def _when(self) -> dict[str, Any]:
        """When the agent spoke and how long the caller waited: as reported, else by the states that the session went through."""
        found = dict(self._of_agent)
        for name, moment in (("agent_started", self.started), ("agent_stopped", self.stopped), ("user_stopped", self.user_stopped)):
            if moment is not None:
                found.setdefault(f"{name}_speaking_at", rfc3339(moment))
        if self.started is not None and self.user_stopped is not None and self.started >= self.user_stopped:
            found.setdefault("user_perceived_ms", round((self.started - self.user_stopped) * 1000, 3))
        return found

    def _synthesis(self) -> dict[str, Any]:
        """From the beginning of the first request to the voice to the end of the last one."""
        timed = [request for request in self.tts.made if read(request, "timestamp") and read(request, "duration") is not None]
        if not timed:
            return {}
        end = max(request.timestamp for request in timed)
        return {"tts_duration_ms": round((end - min(map(_began, timed))) * 1000, 3), "tts_timestamp": end}


class Between:
    """What is measured between turns and names none: it belongs to the turn that ends next."""

    def __init__(self) -> None:
        self._totals: dict[str, Any] = {}
        self._latest: dict[str, Any] = {}

    def stt(self, metrics: Any) -> None:
        """A part of the caller's speech was transcribed."""
        add(self._totals, metrics, mapping.STT_TOTAL)
        self._latest |= converted(metrics, mapping.STT_REQUEST) | model_of(metrics, "stt")

    def vad(self, metrics: Any) -> None:
        """The voice activity detector has worked."""
        add(self._totals, metrics, mapping.VAD_TOTAL)
        self._latest |= converted(metrics, mapping.VAD_LATEST)

    def interruption(self, metrics: Any) -> None:
        """Overlapping speech was judged."""
        add(self._totals, metrics, mapping.INTERRUPTION_TOTAL)
        self._latest |= converted(metrics, mapping.INTERRUPTION)

    def take(self) -> dict[str, Any]:
        """Everything so far, for the turn that ends now."""
        found = self._latest | self._totals
        self._latest, self._totals = {}, {}
        return found


def model_of(metrics: Any, stage: str) -> dict[str, str]:
    """Provider and model as the metrics name them. LiveKit says ``unknown`` where a component names none."""
    named = {"provider": read(metrics, "metadata.model_provider"), "model": read(metrics, "metadata.model_name")}
    return {f"{stage}_{name}": value for name, value in named.items() if isinstance(value, str) and value not in ("", "unknown")}


def method_of(metrics: Any) -> dict[str, str]:
    """How the end of the turn was found: the model of the turn detector, else ``vad``, ``stt``, ``manual`` or the like."""
    for name in (read(metrics, "metadata.model_name"), read(metrics, "metadata.model_provider")):
        if isinstance(name, str) and name not in ("", "unknown"):
            return {"turn_method": name}
    return {}


def _began(request: Any) -> float:
    return float((read(request, "timestamp") or 0) - (read(request, "duration") or 0))


def _first_after(request: Any) -> float:
    """Seconds to the first token or audio; negative if there was none."""
    for name in ("ttft", "ttfb"):
        value = read(request, name)
        if isinstance(value, (int, float)):
            return float(value)
    return -1.0
