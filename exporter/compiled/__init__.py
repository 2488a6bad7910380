"""The innermost loops in C, if they were compiled, as wheels and the image are. Otherwise every name here but the last is ``None``.

Each name has an equal in Python, which its callers use where it is ``None``.
"""

from collections.abc import Callable, MutableMapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from exporter.compiled import attributes, fields, pack, record

AttributeWriter: "type[attributes.AttributeWriter] | None"
FieldsReader: "type[fields.FieldsReader] | None"
HistogramCell: "type[record.HistogramCell] | None"
Packer: "type[pack.Packer] | None"
RecordWriter: "type[record.RecordWriter] | None"
stage_spans: Callable[..., list[bytes]] | None
join: Callable[..., bytes] | None
unix_seconds: Callable[[datetime], float] | None
seconds_between: Callable[[datetime, datetime], float] | None
take_messages: Callable[[bytes, int, int, int], tuple[int, list[MutableMapping[str, Any]]]] | None
try:
    from exporter.compiled.attributes import AttributeWriter
    from exporter.compiled.fields import FieldsReader
    from exporter.compiled.frames import take_messages
    from exporter.compiled.moments import seconds_between, unix_seconds
    from exporter.compiled.pack import Packer
    from exporter.compiled.record import HistogramCell, RecordWriter
    from exporter.compiled.spans import join, stage_spans
except ImportError:
    AttributeWriter = FieldsReader = HistogramCell = Packer = RecordWriter = stage_spans = join = take_messages = None
    unix_seconds = seconds_between = None

BUILD: Final = "plain" if RecordWriter is None else "compiled"
"""How the hot path of this process runs, as ``--version``, the log and ``agentstack_exporter_build_info`` say."""
