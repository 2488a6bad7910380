"""What a session remembers of the customer's app, where the app is seen too: behind a relay. Times are unix seconds of receipt."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.bounded_dict import BoundedDict
from exporter.protocol.commands import Direction

MOST_OPEN_CALLS: Final = 64
"""Tool calls of a session that may wait for their results at once. When there are more, the oldest counts as unanswered."""


class OpenCall(NamedTuple):
    """A tool call that waits for the app's result: the label of the tool, and when the call was received."""

    tool: str
    called: float


class StreamedAnswer(NamedTuple):
    """An answer of the app's LLM that is being streamed: when it was asked for, if that is known, and when its first token came."""

    asked: float | None
    first_token: float


@dataclass(slots=True)
class LastMessage:
    """The latest audio message of one direction: when it passed, and how long after the one before it (0 after a gap), in seconds."""

    at: float
    interval: float


class AppState:
    """``asked`` is when the app's LLM was last asked a question that it has not started to answer.

    ``interrupted``: the caller barged into the answer that is being streamed.
    """

    __slots__ = ("answer", "asked", "audio", "interrupted", "last_token", "open_calls")

    def __init__(self) -> None:
        self.open_calls: BoundedDict[str, OpenCall] = BoundedDict(MOST_OPEN_CALLS)
        self.asked: float | None = None
        self.answer: StreamedAnswer | None = None
        self.last_token = 0.0
        self.interrupted = False
        self.audio: dict[Direction, LastMessage] = {}


class ToolAnswer(NamedTuple):
    """The app answered a tool call."""

    id: str
    failed: bool


class LlmAnswer(NamedTuple):
    """The app's LLM answered: when it was asked, and when the first and last token came. ``abandoned``: it did not finish."""

    asked: float
    first: float
    last: float
    abandoned: bool
