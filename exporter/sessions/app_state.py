"""What a session remembers of the customer's app, where that is seen too: behind a relay. Times are unix seconds of receipt."""

from typing import NamedTuple

from exporter.protocol.commands import Direction


class AppState:
    """Bounded by whoever fills it.

    ``calls`` has the tool calls that wait for an answer: label of the tool, and since when. ``asked`` is when the customer's LLM was
    last asked something it has not begun to answer; ``answer`` is the answer that is being streamed: when it was asked for, if that is
    known, and when its first token came. ``interrupted`` says that the caller barged into it. ``audio`` has when the last message of
    each direction passed, and how long after the one before it (0 after a gap).
    """

    __slots__ = ("answer", "asked", "audio", "calls", "interrupted", "last_token")

    def __init__(self) -> None:
        self.calls: dict[str, tuple[str, float]] = {}
        self.asked: float | None = None
        self.answer: tuple[float | None, float] | None = None
        self.last_token = 0.0
        self.interrupted = False
        self.audio: dict[Direction, tuple[float, float]] = {}


class ToolAnswer(NamedTuple):
    """The app answered a tool call."""

    id: str
    failed: bool


class LlmAnswer(NamedTuple):
    """The customer's LLM answered: when it was asked, and when the first and last token came. ``abandoned`` ones were cut off."""

    asked: float
    first: float
    last: float
    abandoned: bool
