"""The spans of a turn's stages, joined from serialised parts."""

from collections.abc import Callable
from typing import Final

import msgspec

from exporter import compiled
from exporter.tracing.encoder import START_END, event, parent_part

_BYTES: Final = tuple(bytes((number,)) for number in range(256))


class TurnStages(msgspec.Struct, frozen=True, gc=False):
    """What is known of a turn's stages. Index lists and tuples with the constants of :mod:`exporter.tracing.timeline`.

    ``present``: the stages that get a span. ``starts`` and ``ends``: unix nanoseconds. ``names``: serialised name and kind.
    ``attributes``: serialised. ``first_output``: milliseconds from the stage's start to the model's first output, if known.
    ``failed``: the stage that failed, -1 for none. ``session``: serialised attributes that name the session.
    """

    present: list[int]
    starts: list[int]
    ends: list[int]
    names: tuple[bytes, ...]
    attributes: list[bytes]
    first_output: tuple[float | None, ...]
    failed: int
    session: bytes


class StageConstants(msgspec.Struct, frozen=True):
    """What is the same in every turn, serialised.

    By stage: ``attributes``, whether its span has attributes ``with_session``, and in ``first_output`` the name of the event that marks
    a model's first output (up to 100 bytes). ``succeeded`` and ``failed`` are the last fields of a span.
    """

    attributes: tuple[bytes, ...]
    with_session: tuple[bool, ...]
    first_output: tuple[bytes, ...]
    succeeded: bytes
    failed: bytes


def python_stage_spans(trace: bytes, span: bytes, stages: TurnStages, constants: StageConstants) -> list[bytes]:
    """Write the spans of the stages that are present.

    ``trace`` comes from :func:`exporter.tracing.encoder.trace_part`; ``span`` is the turn's span id (8 bytes). The ids of the stages
    differ from it in the last byte.
    """
    starts, ends, names, attributes, first_output = stages.starts, stages.ends, stages.names, stages.attributes, stages.first_output
    always, with_session, marks = constants.attributes, constants.with_session, constants.first_output
    prefix, last, parent = trace + span[:7], span[7], parent_part(span)
    spans = []
    for stage in stages.present:
        start, delay = starts[stage], first_output[stage]
        mark = b"" if delay is None else event(start + int(delay * 1e6), marks[stage])
        spans.append(
            b"".join((
                prefix, _BYTES[last ^ stage + 1], parent, names[stage], START_END.pack(0x39, start, 0x41, ends[stage]),
                always[stage], stages.session if with_session[stage] else b"", attributes[stage], mark,
                constants.failed if stage == stages.failed else constants.succeeded,
            ))
        )  # fmt: skip
    return spans


stage_spans: Final[Callable[[bytes, bytes, TurnStages, StageConstants], list[bytes]]] = compiled.stage_spans or python_stage_spans
"""As :func:`python_stage_spans`, in C where that is compiled."""
