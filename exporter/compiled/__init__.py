"""The innermost loops in C, if they were compiled, as wheels and the image are.

Each name has an equal in Python, which its callers use where it is ``None``.
"""

from collections.abc import Callable, MutableMapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from exporter.compiled import field_getter, pack, plain_frames, record, turns

FieldGetter: "type[field_getter.FieldGetter] | None"
HistogramCell: "type[record.HistogramCell] | None"
Packer: "type[pack.Packer] | None"
PlainFrames: "type[plain_frames.PlainFrames] | None"
RecordWriter: "type[record.RecordWriter] | None"
TurnEncoder: "type[turns.TurnEncoder] | None"
unix_seconds: Callable[[datetime], float] | None
seconds_between: Callable[[datetime, datetime], float] | None
take_messages: Callable[[bytes, int, int, int, int], tuple[int, list[MutableMapping[str, Any]]]] | None
try:
    from exporter.compiled.field_getter import FieldGetter
    from exporter.compiled.frames import take_messages
    from exporter.compiled.moments import seconds_between, unix_seconds
    from exporter.compiled.pack import Packer
    from exporter.compiled.plain_frames import PlainFrames
    from exporter.compiled.record import HistogramCell, RecordWriter
    from exporter.compiled.turns import TurnEncoder
except ImportError:
    FieldGetter = HistogramCell = Packer = PlainFrames = RecordWriter = TurnEncoder = None
    take_messages = unix_seconds = seconds_between = None

BUILD: Final = "plain" if RecordWriter is None else "compiled"
"""How the hot path of this process runs, as ``--version``, the log and ``agentstack_exporter_build_info`` say."""
