"""What the requests to one component were: noted in the session's event loop, read in the tap's thread."""

from dataclasses import dataclass, field
from typing import Any, Final

from agentstack_tap.livekit import mapping
from agentstack_tap.livekit.mapping import Row, add, converted, read

MOST_REQUESTS: Final = 64
"""Requests that are remembered, to find the one that answered. Of further ones only the sums are kept."""
_SLACK: Final = 0.05
"""Seconds by which two readings of clocks may differ."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A kind of component: the prefix of its fields, and which of LiveKit's fields say something of one request, or add up."""

    name: str
    request: tuple[Row, ...]
    total: tuple[Row, ...]


LLM: Final = Stage("llm", mapping.LLM_REQUEST, mapping.LLM_TOTAL)
TTS: Final = Stage("tts", mapping.TTS_REQUEST, mapping.TTS_TOTAL)
REALTIME: Final = Stage("realtime", mapping.REALTIME_RESPONSE, mapping.REALTIME_TOTAL)
STT: Final = Stage("stt", mapping.STT_REQUEST, mapping.STT_TOTAL)
VAD: Final = Stage("vad", mapping.VAD_LATEST, mapping.VAD_TOTAL)
INTERRUPTION: Final = Stage("interruption", mapping.INTERRUPTION, mapping.INTERRUPTION_TOTAL)


@dataclass(slots=True)
class Requests:
    """The requests to one component, in a turn or between two: what they add up to, and what is said of single ones."""

    stage: Stage
    made: list[Any] = field(default_factory=list)
    _more: dict[str, Any] = field(default_factory=dict)

    def over(self, metrics: Any) -> None:
        """A request is over."""
        if len(self.made) < MOST_REQUESTS:
            self.made.append(metrics)
        else:
            add(self._more, metrics, self.stage.total)

    def totals(self) -> dict[str, Any]:
        """What the requests add up to."""
        found = dict(self._more)
        for request in self.made:
            add(found, request, self.stage.total)
        return found

    def latest(self) -> dict[str, Any]:
        """What the latest requests say, and what they add up to."""
        found: dict[str, Any] = {}
        for request in self.made:
            found |= converted(request, self.stage.request) | model_of(request, self.stage.name)
        return found | self.totals()

    def fields(self, answer: Any) -> dict[str, Any]:
        """The sums, what is said of the request ``answer``, and whether any was cancelled."""
        if answer is None:
            return {}
        cancelled = any(read(request, "cancelled") for request in self.made)
        found = self.totals() | converted(answer, self.stage.request) | model_of(answer, self.stage.name)
        return found | {f"{self.stage.name}_cancelled": cancelled}

    def first(self) -> Any:
        """The first request that produced something, else the first."""
        return next((request for request in self.made if _first_after(request) >= 0), self.made[0] if self.made else None)

    def last_before(self, moment: float | None) -> Any:
        """The last request that had produced something by ``moment`` (unix seconds), else the first one that did, else the last."""
        productive = [request for request in self.made if _first_after(request) >= 0]
        if not productive:
            return self.made[-1] if self.made else None
        before = [request for request in productive if moment is None or began(request) + _first_after(request) <= moment + _SLACK]
        return (before or productive[:1])[-1]

    def span(self) -> tuple[float, float] | None:
        """When the first request began and the last one ended, in unix seconds."""
        timed = [request for request in self.made if read(request, "timestamp") and read(request, "duration") is not None]
        return (min(map(began, timed)), max(request.timestamp for request in timed)) if timed else None


def began(request: Any) -> float:
    """When a request began, in unix seconds."""
    return float((read(request, "timestamp") or 0) - (read(request, "duration") or 0))


def model_of(metrics: Any, stage: str) -> dict[str, str]:
    """Provider and model as the metrics name them. LiveKit says ``unknown`` where a component names none."""
    named = {"provider": read(metrics, "metadata.model_provider"), "model": read(metrics, "metadata.model_name")}
    return {f"{stage}_{name}": value for name, value in named.items() if isinstance(value, str) and value not in ("", "unknown")}


def _first_after(request: Any) -> float:
    """Seconds to the first token or audio; negative if there was none."""
    for name in ("ttft", "ttfb"):
        value = read(request, name)
        if isinstance(value, (int, float)):
            return float(value)
    return -1.0
