"""The innermost loops in C, if they were compiled (``make compiled``; the image has them). Otherwise every name here is ``None``.

Each name has an equal in Python, which its callers use where it is ``None``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.compiled import attributes, record

AttributeWriter: "type[attributes.AttributeWriter] | None"
RecordWriter: "type[record.RecordWriter] | None"
stage_spans: Callable[..., list[bytes]] | None
join: Callable[..., bytes] | None
try:
    from exporter.compiled.attributes import AttributeWriter
    from exporter.compiled.record import RecordWriter
    from exporter.compiled.spans import join, stage_spans
except ImportError:
    AttributeWriter = RecordWriter = stage_spans = join = None
