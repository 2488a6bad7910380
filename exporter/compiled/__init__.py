"""The innermost loops as C, for those who compiled them (``make compiled``; the image has them). Without, Python does the same.

All names are ``None`` where they were not compiled.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.compiled import attributes, record

AttributeWriter: "type[attributes.AttributeWriter] | None"
RecordWriter: "type[record.RecordWriter] | None"
child_spans: Callable[..., list[bytes]] | None
together: Callable[..., bytes] | None
try:
    from exporter.compiled.attributes import AttributeWriter
    from exporter.compiled.record import RecordWriter
    from exporter.compiled.spans import child_spans, together
except ImportError:
    AttributeWriter = RecordWriter = child_spans = together = None
