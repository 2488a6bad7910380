"""A turn's spans as bytes: its own span and one for each stage, in C where that is compiled, else in Python.

A turn is written in two steps. The first lays out the stages and writes their attributes. Then it is known when the turn began and
ended, and which stages have a span; what depends on that can be added before the second step puts the spans together.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from exporter import compiled
from exporter.catalogue.declarations import SpanName
from exporter.catalogue.inspect import inspect_event
from exporter.events.turn_metrics import TurnMetrics
from exporter.sessions.span_state import SpanState
from exporter.tracing.attributes import AttributeField, span_attributes
from exporter.tracing.encoder import FAILED, FLAGS, ON_SPAN, START_END, SpanNameCache, event, parent_part, start_end_part
from exporter.tracing.sampling import SpanOptions
from exporter.tracing.span_batch import SpanBatch
from exporter.tracing.timeline import TIMED_BY, Timeline, is_timed, lay_out
from exporter.tracing.turn_attributes import attribute_entries, python_writer

if TYPE_CHECKING:
    from exporter.compiled import turns

_BYTES: Final = tuple(bytes((number,)) for number in range(256))
_FAILED: Final = FAILED + FLAGS
_NO_TURN: Final = TurnMetrics()


class TurnIds(msgspec.Struct, frozen=True, gc=False):
    """Where a turn's span belongs: serialised trace and parent, its own id, and a link if its trace is not the session's."""

    trace: bytes
    span: bytes
    parent: bytes
    link: bytes


class StageConstants(msgspec.Struct, frozen=True):
    """What is the same for the span ``span`` of a stage in every turn.

    ``name`` makes the span's name of the model in the field ``model``, if there is one. ``attributes`` are serialised, and those that
    name the session come ``with_session``. The field ``first_output`` has the milliseconds from the stage's start to its model's first
    output, which an event marks that is called ``mark`` (serialised, up to 100 bytes).
    """

    span: SpanName
    name: SpanNameCache
    model: str | None
    attributes: bytes
    with_session: bool
    first_output: str | None
    mark: bytes


class TurnConstants(msgspec.Struct, frozen=True):
    """What is the same in every turn: its stages, and serialised attributes of its own span.

    ``platform`` are those of a turn whose times the platform has reported: without a reason for its end, completed, and interrupted.
    ``estimated`` are the same for a turn whose times are estimated.
    """

    stages: tuple[StageConstants, ...]
    platform: tuple[bytes, bytes, bytes]
    estimated: tuple[bytes, bytes, bytes]


class Additions(msgspec.Struct, gc=False):
    """What a turn's other events, and a failure, add to its spans.

    ``attributes`` are further ones of each stage and, last, of the turn, if there are any. ``events`` are those of the turn's span.
    ``failed`` is the stage that failed, -1 for none. Attributes and events are serialised.
    """

    attributes: list[bytes] | None = None
    events: bytes = b""
    failed: int = -1


class TurnEncoder(Protocol):
    """Writes one turn after the other: ``begin``, then ``finish``.

    Times are unix nanoseconds, stages are indices of :mod:`exporter.tracing.timeline`.
    """

    @property
    def start(self) -> int:
        """When the turn began."""

    @property
    def end(self) -> int:
        """When the turn ended."""

    @property
    def estimated(self) -> bool:
        """Whether its times are estimated."""

    @property
    def present(self) -> list[int]:
        """The stages that have a span, in order."""

    def begin(self, event: TurnMetrics, window: tuple[int, int], receipt: int, added: Additions) -> None:
        """Lay out a turn. A stamp that is not within ``window`` is missing; an estimated turn ends at ``receipt``.

        A stage is present if the event times it, or if it has any attribute.
        """

    def finish(self, ids: TurnIds, state: SpanState, start: int, added: Additions) -> Sequence[bytes]:
        """The spans of the turn that was begun: its own, which begins at ``start``, and those of its stages.

        A stage that is absent stays so, although attributes were added to it since.
        """


class PythonTurnEncoder:
    """A :class:`TurnEncoder` in Python."""

    def __init__(self, options: SpanOptions, constants: TurnConstants) -> None:
        self._write_attributes = python_writer(turn_attributes(options, constants), options)
        self._stages = tuple(
            (same.name, _reader(same.model), _reader(same.first_output), same.attributes, same.with_session, same.mark)
            for same in constants.stages
        )
        self._constants = constants
        self._event = _NO_TURN
        self._times = Timeline([], [], estimated=True)
        self._attributes: list[bytes] = []
        self.start = self.end = 0
        self.estimated = True
        self.present: list[int] = []

    def begin(self, event: TurnMetrics, window: tuple[int, int], receipt: int, added: Additions) -> None:
        """Lay out a turn."""
        more = added.attributes
        self._event = event
        self._times = times = lay_out(event, window)
        self._attributes = attributes = self._write_attributes(event)
        stages = range(len(self._stages))
        self.present = [stage for stage in stages if attributes[stage] or (more and more[stage]) or is_timed(event, stage)]
        self.start, self.end = times.envelope(self.present, receipt)
        self.estimated = times.estimated

    def finish(self, ids: TurnIds, state: SpanState, start: int, added: Additions) -> Sequence[bytes]:
        """The spans of the turn that was begun."""
        turn, attributes, failed = self._event, self._attributes, added.failed
        if added.attributes:
            attributes = [one + more for one, more in zip(attributes, added.attributes, strict=True)]
        constants = self._constants.estimated if self.estimated else self._constants.platform
        spans = [
            b"".join((
                ids.trace, ids.span, ids.parent, state.turn_name, start_end_part(start, self.end), state.identity,
                constants[2 if turn.interrupted else 0 if turn.error_source else 1], attributes[-1], added.events,
                ids.link, FAILED if turn.error_source else b"", FLAGS,
            ))
        ]  # fmt: skip
        starts, ends, stages = self._times.starts, self._times.ends, self._stages
        prefix, last, parent, session = ids.trace + ids.span[:7], ids.span[7], parent_part(ids.span), state.session_part
        for stage in self.present:
            name, model, first_output, always, with_session, mark = stages[stage]
            begun, delay = starts[stage], first_output and first_output(turn)
            spans.append(
                b"".join((
                    prefix, _BYTES[last ^ stage + 1], parent, name[model and model(turn)],
                    START_END.pack(0x39, begun, 0x41, ends[stage]),
                    always, session if with_session else b"", attributes[stage],
                    b"" if delay is None else event(begun + int(delay * 1e6), mark), _FAILED if stage == failed else FLAGS,
                ))
            )  # fmt: skip
        self._event, self._attributes = _NO_TURN, []
        return spans


def turn_attributes(options: SpanOptions, constants: TurnConstants) -> list[list[AttributeField]]:
    """The attributes of each stage and, last, of the turn."""
    spec = inspect_event(TurnMetrics)
    names: list[SpanName] = [*(stage.span for stage in constants.stages), "turn"]
    return [span_attributes(spec, name, options) for name in names]


def turn_encoder(options: SpanOptions, constants: TurnConstants) -> TurnEncoder:
    """The encoder of turns: in C where that is compiled."""
    return (
        PythonTurnEncoder(options, constants) if compiled.TurnEncoder is None else c_encoder(options, constants, compiled.TurnEncoder)
    )


def c_encoder(options: SpanOptions, constants: TurnConstants, encoder: "type[turns.TurnEncoder]") -> TurnEncoder:
    """As :class:`PythonTurnEncoder`, in C."""
    fields = TurnMetrics.__struct_fields__
    entries = attribute_entries(turn_attributes(options, constants), fields, options)
    types = (TurnIds, Additions, SpanBatch)
    return encoder(entries, TurnMetrics, ON_SPAN, options.attribute_length, constants, TIMED_BY, (FLAGS, _FAILED), types)


def _reader(field: str | None) -> Callable[[TurnMetrics], Any] | None:
    return None if field is None else attrgetter(field)
