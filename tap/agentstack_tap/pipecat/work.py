"""What the services report of their work, and which turn it belongs to."""

from collections.abc import Mapping
from dataclasses import replace

from agentstack_tap.pipecat.services import Kind, Service
from agentstack_tap.pipecat.turn import Stage, Turn
from agentstack_tap.pipecat.turns import Turns
from agentstack_tap.pipecat.usage import Usage


class Work:
    """The services of a session at work. Times are unix seconds."""

    def __init__(self, turns: Turns, usage: Usage) -> None:
        self._turns, self._usage = turns, usage
        self._open: dict[str, Stage] = {}
        """The stages that are under way, by the label of the service."""
        self._asked: dict[str, Turn] = {}
        """The turn of each service's last request, by the label of the service."""
        self._interrupted_at = float("-inf")

    @property
    def under_way(self) -> bool:
        """Whether a service is at work."""
        return bool(self._open)

    def started(self, kind: Kind, service: Service) -> None:
        """A service began to answer. A request before it of which nothing was said, or which was cancelled, is replaced by it."""
        turn = self._turns.current
        stage = turn.stage(kind, service)
        if stage.cancelled or (kind == "llm" and stage.is_over and not stage.answered):
            stage.forget_times()
        stage.is_over = False
        self._asked[service.label] = turn
        self._open[service.label] = stage

    def ended(self, service: Service) -> None:
        """A service has answered."""
        stage = self._open.pop(service.label, None)
        if stage is not None:
            stage.is_over = True

    def answered(self, service: Service) -> None:
        """A service gave a part of the answer."""
        if (stage := self._open.get(service.label)) is not None:
            stage.answered = True

    def interrupted(self, at: float) -> None:
        """All services drop what they work on."""
        for stage in self._open.values():
            stage.cancelled = True
        self._open.clear()
        self._interrupted_at = at

    def reported(self, turn: Turn) -> None:
        """A turn was reported: nothing can be added to it."""
        self._asked = {label: asked for label, asked in self._asked.items() if asked is not turn}
        for label, stage in self._open.items():
            if any(stage is of_turn for of_turn in turn.stages.values()):  # what is still to come is no part of it
                self._open[label] = replace(stage)

    def spoke(self, kind: Kind, service: Service, seconds: float) -> None:
        """A service made that much audio. A language model that does is a speech-to-speech model."""
        turn = self._asked.get(service.label, self._turns.current)
        turn.realtime = turn.realtime or kind == "llm"
        stage = turn.stage(kind, service)
        stage.audio += seconds
        stage.answered = True

    def measured(self, at: float, kind: Kind, service: Service, model: str | None, numbers: Mapping[str, float]) -> None:
        """A service reported numbers."""
        first, duration = numbers.get("first_output", 0.0), numbers.get("duration", 0.0)
        stage = self._turn_of(kind, service, at - (first or duration)).stage(kind, service)
        stage.model = stage.model or model
        if first > 0:
            self._first_output(stage, kind, at, first)
        if duration > 0:
            _add_duration(stage, kind, at, duration)
        if not first and not duration:
            self._used(stage, kind, service, model, _gross(numbers) if "prompt_tokens" in numbers else numbers)

    def _used(self, stage: Stage, kind: Kind, service: Service, model: str | None, amounts: Mapping[str, float]) -> None:
        for name, amount in amounts.items():
            if name == "characters":
                stage.characters += int(amount)
            elif name == "audio":
                stage.audio += amount
            else:
                stage.tokens[name] = stage.tokens.get(name, 0) + int(amount)
        self._usage.add(kind, service, model, amounts)

    def _turn_of(self, kind: Kind, service: Service, began: float) -> Turn:
        """The turn that numbers belong to: a language model's, that of its request; others', the one in which the time began."""
        asked = self._asked.get(service.label)
        if asked is not None and (kind == "llm" or asked.closed is None or began < asked.closed):
            return asked
        return self._turns.at(began)

    def _first_output(self, stage: Stage, kind: Kind, at: float, seconds: float) -> None:
        """Note a time to first output. An interrupted service ends its measurement although nothing came: that is no such time."""
        if at - seconds < self._interrupted_at <= at:
            return
        if stage.cancelled:  # some services are measured before they say that they began
            stage.forget_times()
        if kind == "stt" or stage.first_output is None:
            stage.first_output, stage.started = seconds, at - seconds


def _add_duration(stage: Stage, kind: Kind, at: float, seconds: float) -> None:
    """Note how long a service worked. Synthesis is asked for sentence by sentence, so its times are added up."""
    if stage.duration is None:
        stage.duration = seconds
        stage.started = at - seconds if stage.started is None else stage.started
    elif kind == "tts":
        stage.duration += seconds


def _gross(numbers: Mapping[str, float]) -> Mapping[str, float]:
    """Some services report prompt tokens without the cached ones, which only the total then contains. Ours contain them."""
    amounts = dict(numbers)
    cached = amounts.get("cache_read_tokens", 0) + amounts.get("cache_creation_tokens", 0)
    prompt = amounts.get("prompt_tokens", 0)
    if cached and amounts.get("total_tokens", 0) == prompt + amounts.get("completion_tokens", 0) + cached:
        amounts["prompt_tokens"] = prompt + cached
    return amounts
