"""What the catalogue declares about spans holds for every field."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.schemas import Schemas

from exporter.catalogue import genai
from exporter.catalogue.declarations import AliasOf, BecomesLabel, Ignored, SpanAttribute, SpanEvent, SpanTime
from exporter.catalogue.genai_table import SPANS
from exporter.catalogue.inspect import EventSpec, FieldSpec
from exporter.events.audio_stream import Start
from exporter.events.session import SessionEnded
from exporter.events.turn_metrics import TurnMetrics
from exporter.events.turns import TurnCompleted
from exporter.exporters.otlp.span_limits import DEFAULT_COUNT
from exporter.protocol.decoder import SPECS
from exporter.tracing.attributes import event_key
from exporter.tracing.sampling import SpanOptions
from tests.support.traced import RECEIPT, Player, values

CANARY = "canary-7d1f"
TURN_METRICS = next(spec for spec in SPECS if spec.type is TurnMetrics)
EVERYTHING = SpanOptions(capture=True, proposals=True)
TOOLS = {"tool.called", "tool.executed", "agent_tool.started", "agent_tool.completed", "agent_tool.failed"}
NOT_IN_THE_PACKAGE = {"moonshot_ai", *(name for span in SPANS for name in span.attributes if ".usage." in name)}
"""Names of the conventions' own repository, which the Python package does not follow."""
SPEECH = {"speech_to_text", "text_to_speech", "realtime_inference"}
STREAM = {"start", "media", "dtmf", "playedStream", "clearedAudio", "stop"}


def example(field: FieldSpec) -> Any:
    """An example value of the field, as on the wire."""
    unit = field.quantity.wire_unit if field.quantity else ""
    if unit == "RFC 3339 date-time":
        return "2026-05-04T09:00:07Z"
    if unit == "unix seconds":
        return RECEIPT - 3
    if field.type is float:
        return 0.5 if unit == "ratio 0..1" else 7
    if field.type is bool:
        return True
    if field.type is str:
        return CANARY
    if field.name == "llm_availability":
        return {CANARY: True}
    return [] if field.name in ("models", "calls", "probabilities") else [CANARY]


def document(spec: EventSpec, *fields: FieldSpec) -> dict[str, Any]:
    """An event with examples in these fields."""
    found: dict[str, Any] = {"event" if spec.name in STREAM else "type": spec.name}
    for field in fields:
        place: dict[str, Any] = found
        owner: Any = spec.type
        for step in field.path[:-1]:
            place = place.setdefault(_wire_name(owner, step), {})
            owner = _inner(owner, step)
        place[_wire_name(owner, field.path[-1])] = example(field)
    return found


def _wire_name(struct: Any, attribute: str) -> str:
    return str(dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))[attribute])


def _inner(struct: Any, attribute: str) -> Any:
    info = next(item for item in msgspec.structs.fields(struct) if item.name == attribute)
    return next(part for part in info.type.__args__ if part is not type(None))


def shown(player: Player) -> set[str]:
    """Every attribute key of every span and event."""
    keys: set[str] = set()
    for span in player.emitted:
        keys |= values(span.attributes).keys()
        for event in span.events:
            keys |= values(event.attributes).keys()
    return keys


@pytest.mark.parametrize("field", TURN_METRICS.fields, ids=lambda field: field.name)
def test_every_field_of_a_turn_lands(field: FieldSpec) -> None:
    """A field of turn.metrics is a label, a time or an attribute, and an attribute really is on its span."""
    landing = [item for item in field.declarations if isinstance(item, BecomesLabel | SpanTime | SpanAttribute | AliasOf)]
    assert landing
    player = Player(EVERYTHING).play(document(TURN_METRICS, field))
    for item in landing:
        if isinstance(item, SpanAttribute):
            span = player.named("invoke_agent" if item.span == "turn" else item.span)
            assert item.name in values(span.attributes)
        elif isinstance(item, SpanTime):
            assert player.named(item.span).trace_id


def _small() -> list[Any]:
    return [
        pytest.param(spec, field, id=f"{spec.name}.{field.name}")
        for spec in SPECS
        if spec.type is not TurnMetrics
        for field in spec.fields
        if any(isinstance(item, SpanAttribute | SpanEvent) for item in field.declarations)
    ]


@pytest.mark.parametrize(("spec", "field"), _small())
def test_every_declared_attribute_appears(spec: EventSpec, field: FieldSpec) -> None:
    """What a small event declares is on some span at the end of the call."""
    player = Player(EVERYTHING).play(document(spec, field))
    player.session.id, player.session.agent = CANARY, CANARY
    if spec.type is TurnCompleted:
        player.spans.without_metrics(player.session, TurnCompleted(**{field.name: _plain(field)}), RECEIPT)
    player.play({"type": "turn.metrics", "turn_number": 9}).finish()
    for item in field.declarations:
        if isinstance(item, SpanAttribute):
            assert genai.attribute_key(item.name, proposals=True) in shown(player)
        elif isinstance(item, SpanEvent):
            assert item.name.replace("{event}", spec.name) in {event.name for span in player.emitted for event in span.events}
            assert field.name == "timestamp" or event_key(spec.name, field.name) in shown(player)


def _plain(field: FieldSpec) -> Any:
    value = example(field)
    return float(value) if field.type is float else value


def test_keys_are_unique_within_a_span() -> None:
    """No two fields that can meet on one span share a key, under any setting."""
    for proposals in (False, True):
        owners: Counter[tuple[str, str]] = Counter()
        for spec in SPECS:
            if spec.name in TOOLS or spec.type is Start:
                continue
            for field in spec.fields:
                for item in field.declarations:
                    if isinstance(item, SpanAttribute):
                        key = genai.attribute_key(item.name, proposals=proposals)
                        owners[item.span, key] += not (spec.type is TurnCompleted and _of_metrics(item))
        assert [where for where, count in owners.items() if count > 1] == []


def _of_metrics(item: SpanAttribute) -> bool:
    declared = (other for field in TURN_METRICS.fields for other in field.declarations)
    return any(isinstance(other, SpanAttribute) and item.name == other.name for other in declared)


def test_the_two_ways_to_start_are_one() -> None:
    """A session that starts twice, once as a call and once as a stream, has each key once."""
    start = {"event": "start", "start": {"callId": "c", "mediaFormat": {"type": "audio/x", "rate": 8000}}}
    player = Player().play({"type": "session.started", "call_id": "c", "audio_format": "pcm", "sample_rate": 16000}, start).finish()
    assert values(player.named("session").attributes)["agentstack.audio.format"] == "audio/x"


def is_personal(item: object) -> bool:
    return isinstance(item, SpanAttribute | SpanEvent) and item.personal


def personal(spec: EventSpec) -> list[FieldSpec]:
    return [field for field in spec.fields if any(map(is_personal, field.declarations))]


def all_personal(options: SpanOptions) -> Player:
    """A call in which every personal field holds the canary."""
    player = Player(options)
    ended = [document(spec, *personal(spec)) for spec in SPECS if spec.type is SessionEnded]
    player.play(*(document(spec, *personal(spec)) for spec in SPECS if personal(spec) and spec.type is not SessionEnded))
    call = {"name": "x", "arguments": CANARY, "output": CANARY}
    player.play({"type": "tool.executed", "calls": [call]}, {"type": "agent_tool.started", "agent_tool_id": "a"})
    completed = TurnCompleted(turn_number=3.0, user_text=CANARY, agent_text=CANARY)
    player.spans.without_metrics(player.session, completed, RECEIPT)
    return player.play({"type": "turn.metrics", "turn_number": 4, "user_text": CANARY, "agent_text": CANARY}, *ended)


def test_personal_data_stays_inside() -> None:
    """With capture off, what any personal field holds is in no byte of any span."""
    assert not [raw for raw in all_personal(SpanOptions()).raw if CANARY.encode() in raw]


def test_personal_data_is_told_when_asked_for() -> None:
    """With capture on, every personal field is there: the test above would find it."""
    found = shown(all_personal(SpanOptions(capture=True)))
    for spec in SPECS:
        for field in personal(spec):
            for item in field.declarations:
                if isinstance(item, SpanAttribute) and item.personal:
                    assert item.name in found
                elif isinstance(item, SpanEvent) and item.personal:
                    assert event_key(spec.name, field.name) in found


def test_registered_names_are_registered() -> None:
    """Without proposals, each gen_ai name and value is registered in the Python package, or newer than that."""
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    used = {
        genai.attribute_key(item.name, proposals=False)
        for spec in SPECS
        for field in spec.fields
        for item in field.declarations
        if isinstance(item, SpanAttribute)
    }
    used |= {key for span in ("turn", "chat", "text_to_speech", "execute_tool") for key in genai.constants(span)}
    assert {name for name in used if name.startswith("gen_ai.")} - known <= NOT_IN_THE_PACKAGE
    registered = {item.value for item in gen_ai_attributes.GenAiProviderNameValues}
    assert {name for names in genai.PROVIDERS.values() for name in names.values()} - registered <= NOT_IN_THE_PACKAGE
    assert set(genai.OPERATIONS.values()) - SPEECH <= {item.value for item in gen_ai_attributes.GenAiOperationNameValues}
    assert set(genai.OUTPUT_TYPES.values()) <= {item.value for item in gen_ai_attributes.GenAiOutputTypeValues}
    assert not known & genai.PROPOSED.keys()
    assert genai.SCHEMA_URL in {item.value for item in Schemas}


def test_nothing_is_declared_for_spans_that_do_not_exist() -> None:
    """A field that is declared as ignored declares nothing for spans."""
    for spec in SPECS:
        for field in spec.fields:
            if any(isinstance(item, Ignored) for item in field.declarations):
                assert not any(isinstance(item, SpanAttribute | SpanEvent | SpanTime) for item in field.declarations)


def test_an_empty_span_is_a_span() -> None:
    """A turn without any field is a whole message."""
    (raw,) = Player().play({"type": "turn.metrics"}).raw
    assert Span.FromString(raw).name == "invoke_agent agent-support"


def test_no_span_reaches_the_default_limit() -> None:
    """All attributes that a span can have are fewer than the specification's default limit."""
    attributes = Counter(
        item.span for spec in SPECS for field in spec.fields for item in field.declarations if isinstance(item, SpanAttribute)
    )
    assert sum(attributes.values()) > 50
    assert max(attributes.values()) + len(genai.constants("turn")) + 10 < DEFAULT_COUNT
