"""One speech of the agent with what led to it: our turn. LiveKit's measurements name it by the id of its speech.

While it goes on, LiveKit's measurements are noted as they are. They are read when the turn is over, in the tap's thread.
"""

from collections.abc import Iterator
from typing import Any, Final

from agentstack_tap.livekit import mapping, requests
from agentstack_tap.livekit.events import method_of
from agentstack_tap.livekit.mapping import Row, converted, is_amount, read, rfc3339
from agentstack_tap.livekit.requests import MOST_REQUESTS, Requests, Stage

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
        self._measured = Measured()
        self._speaking_since: float | None = None
        self._spoken = self._reported = 0.0
        self._of_user: list[tuple[Any, tuple[Row, ...]]] = []
        self._of_agent: list[Any] = []

    @property
    def scheduled(self) -> bool:
        """Whether the speech will be said. Before LiveKit generated replies ahead, each of them was."""
        scheduled = read(self.handle, "scheduled")
        return True if scheduled is None else bool(scheduled)

    def heard(self, report: Any) -> None:
        """The caller's message, with its report if it has one."""
        self.has_user = self.answers_message = True
        self._of_user[MOST_REQUESTS - 1 :] = [(report, mapping.USER_REPORT)]
        self.user_stopped = read(report, "stopped_speaking_at") or self.user_stopped

    def ended(self, metrics: Any) -> None:
        """``EOUMetrics``: it was decided that the caller's turn is over."""
        self.has_user = True
        self.reported_end = read(metrics, "end_of_utterance_delay")
        self._of_user[MOST_REQUESTS - 1 :] = [(metrics, mapping.END_OF_UTTERANCE)]
        self.user_stopped = self.user_stopped or read(metrics, "last_speaking_time") or None

    def answered(self, report: Any) -> None:
        """A message of the agent. Of several, the first one tells when the agent began, and the last one when it ended."""
        self.has_user = self.has_user or is_amount(read(report, "e2e_latency"))
        self._of_agent[MOST_REQUESTS - 1 :] = [report]
        started, stopped = read(report, "started_speaking_at"), read(report, "stopped_speaking_at")
        if started is not None and stopped is not None:
            self._reported += max(0.0, stopped - started)

    def measured(self, stage: Stage, metrics: Any) -> None:
        """A request to a component is over."""
        self._measured.note(stage, metrics)

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

    def report(self, number: int, between: "Measured", pipeline: str) -> Iterator[dict[str, Any]]:
        """The turn as ``turn.completed`` and ``turn.metrics``."""
        metrics = self._metrics(number, between, pipeline)
        yield self._completed(metrics)
        yield metrics

    def _metrics(self, number: int, between: "Measured", pipeline: str) -> dict[str, Any]:
        llm, tts, realtime = map(self._measured.of, (requests.LLM, requests.TTS, requests.REALTIME))
        found: dict[str, Any] = {
            "type": "turn.metrics",
            "turn_number": number,
            "interrupted": self.interrupted,
            "agent_first": not self.has_user,
            "pipeline": "s2s" if realtime.made else pipeline,
        }
        found |= between.latest() | self._user() | self._when() | self.texts
        found |= llm.fields(llm.last_before(self.started)) | realtime.fields(realtime.first())
        found |= tts.fields(tts.first()) | _synthesis(tts)
        found |= {ours: found[report] for ours, report in _STAND_INS.items() if ours not in found and report in found}
        if self.error_source:
            found["error_source"] = self.error_source
        return found

    def _completed(self, metrics: dict[str, Any]) -> dict[str, Any]:
        found = {"type": "turn.completed", "turn_id": self.id}
        found |= {name: metrics[name] for name in _COMPLETED if name in metrics}
        return found | {ours: metrics[name] / 1000 for ours, name in _IN_SECONDS.items() if name in metrics}

    def _user(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for source, rows in self._of_user:
            found |= converted(source, rows)
            if rows is mapping.END_OF_UTTERANCE:
                found |= method_of(source)
        return found

    def _when(self) -> dict[str, Any]:
        """When the agent spoke and how long the caller waited: as reported, else by the states that the session went through."""
        found: dict[str, Any] = {}
        for report in self._of_agent:
            said = converted(report, mapping.AGENT_REPORT)
            found = said | found | {name: said[name] for name in ("agent_stopped_speaking_at",) if name in said}
        for name, moment in (("agent_started", self.started), ("agent_stopped", self.stopped), ("user_stopped", self.user_stopped)):
            if moment is not None:
                found.setdefault(f"{name}_speaking_at", rfc3339(moment))
        if self.started is not None and self.user_stopped is not None and self.started >= self.user_stopped:
            found.setdefault("user_perceived_ms", round((self.started - self.user_stopped) * 1000, 3))
        return found


class Measured:
    """The requests to each component: of a turn, or of the time between two turns, if they name none."""

    __slots__ = ("_by_stage",)

    def __init__(self) -> None:
        self._by_stage: dict[str, Requests] = {}

    def note(self, stage: Stage, metrics: Any) -> None:
        """A request is over."""
        found = self._by_stage.get(stage.name)
        if found is None:
            found = self._by_stage[stage.name] = Requests(stage)
        found.over(metrics)

    def of(self, stage: Stage) -> Requests:
        """The requests to one component."""
        return self._by_stage.get(stage.name) or Requests(stage)

    def latest(self) -> dict[str, Any]:
        """What the latest requests to each component say, and what they add up to."""
        return {name: value for found in self._by_stage.values() for name, value in found.latest().items()}


def _synthesis(tts: Requests) -> dict[str, Any]:
    """From the beginning of the first request to the voice to the end of the last one."""
    span = tts.span()
    return {} if span is None else {"tts_duration_ms": round((span[1] - span[0]) * 1000, 3), "tts_timestamp": span[1]}
