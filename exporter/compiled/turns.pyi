from exporter.events.turn_metrics import TurnMetrics
from exporter.sessions.span_state import SpanState
from exporter.tracing.span_batch import SpanBatch
from exporter.tracing.turn_attributes import AttributeEntry
from exporter.tracing.turn_encoder import Additions, TurnConstants, TurnIds

class TurnEncoder:
    start: int
    end: int
    estimated: bool
    present: list[int]
    def __init__(
        self,
        entries: list[list[AttributeEntry]],
        event_type: type[TurnMetrics],
        on: int,
        length: int,
        constants: TurnConstants,
        timed_by: tuple[tuple[str, ...], ...],
        lasts: tuple[bytes, bytes],
        types: tuple[type[TurnIds], type[Additions], type[SpanBatch]],
    ) -> None: ...
    def begin(self, event: TurnMetrics, window: tuple[int, int], receipt: int, added: Additions) -> None: ...
    def finish(self, ids: TurnIds, state: SpanState, start: int, added: Additions) -> SpanBatch: ...
