"""The rows that sessions of one agent have used: a frame finds them without making label values again."""

from collections.abc import Hashable
from typing import Any, NamedTuple

from exporter.metrics.store import Observe, Row
from exporter.protocol.commands import Direction


class TurnKind(NamedTuple):
    """What decides which series a turn counts in, as the event says it."""

    pipeline: str | None
    agent_first: bool | None
    interrupted: bool | None
    cancelled: bool | None
    main_agent: bool
    answered: bool


class AudioRows(NamedTuple):
    """The rows that count the audio messages of one direction, and their bytes."""

    frames: Row
    bytes: Row


class WaitRows(NamedTuple):
    """The rows in which a pipeline's waits add up, by component, and the pipeline's label."""

    pipeline: str
    rows: list[Row | None]


class SeriesCache:
    """The rows that sessions of one agent have used, found by raw values of the wire.

    ``agent`` and ``answered_by`` are the label values of these sessions. ``rows`` has a dictionary for each label group: the raw
    values of its fields (``None``, one value, or a tuple) → its rows. ``full_rows`` has the same for rows that the store had no room
    for, with how many of them became ``_other``. ``latest`` has the rows and the raw values that the compiled recorder used last.

    The others keep the rows of the analysis modules of the same names: ``latency_breakdown`` by pipeline, ``turn_position`` by
    position, ``turns`` by kind of turn, ``states`` by participant and state, ``app_commands`` by kind of command, ``audio`` and
    ``audio_jitter`` by direction; ``invocations`` has those of the length of turns, by error, ``llms`` those of the availability of
    LLMs, by name. All are emptied once an hour, so that label values that are still in use are looked up again.
    """

    __slots__ = (
        "agent",
        "answered_by",
        "app_commands",
        "audio",
        "audio_jitter",
        "full_rows",
        "invocations",
        "latency_breakdown",
        "latest",
        "llms",
        "rows",
        "states",
        "turn_position",
        "turns",
    )

    def __init__(self, agent: str, answered_by: str, groups: int) -> None:
        self.agent = agent
        self.answered_by = answered_by
        self.rows: list[dict[Hashable, tuple[Row, ...]]] = [{} for _ in range(groups)]
        self.full_rows: list[dict[Hashable, tuple[tuple[Row, ...], int]]] = [{} for _ in range(groups)]
        self.latest: list[tuple[Any, ...]] = [()] * groups
        self.invocations: dict[str, Observe] = {}
        self.llms: dict[str, Row] = {}
        self.latency_breakdown: dict[str | None, WaitRows] = {}
        self.turn_position: dict[str, tuple[Observe, Observe]] = {}
        self.turns: dict[Hashable, tuple[Row, ...]] = {}  # by TurnKind, or the equal plain tuple, which is cheaper to make
        self.states: dict[tuple[str, str], Row] = {}
        self.app_commands: dict[str, Row] = {}
        self.audio: dict[Direction, AudioRows] = {}
        self.audio_jitter: dict[Direction, Observe] = {}

    def clear(self) -> None:
        """Empty the dictionaries."""
        self.states.clear()
        self.app_commands.clear()
        self.audio.clear()
        self.audio_jitter.clear()
        self.invocations.clear()
        self.latency_breakdown.clear()
        self.turn_position.clear()
        self.turns.clear()
        self.llms.clear()
        self.latest[:] = [()] * len(self.latest)
        for rows in self.rows:
            rows.clear()
        for full in self.full_rows:
            full.clear()
