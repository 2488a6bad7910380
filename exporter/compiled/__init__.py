"""The innermost loops in C, if they were compiled, as wheels and the image are. Otherwise every name here but the last is ``None``.

Each name has an equal in Python, which its callers use where it is ``None``.
"""

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from exporter.compiled import record, turns

RecordWriter: "type[record.RecordWriter] | None"
TurnEncoder: "type[turns.TurnEncoder] | None"
take_messages: Callable[[bytes, int, int, int], tuple[int, list[MutableMapping[str, Any]]]] | None
try:
    from exporter.compiled.frames import take_messages
    from exporter.compiled.record import RecordWriter
    from exporter.compiled.turns import TurnEncoder
except ImportError:
    RecordWriter = TurnEncoder = take_messages = None

BUILD: Final = "plain" if RecordWriter is None else "compiled"
"""How the hot path of this process runs, as ``--version``, the log and ``agentstack_exporter_build_info`` say."""
