"""What resource, scope and attributes of an OTLP message are in the SDK's types."""

from collections.abc import Iterable
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.sdk.resources import Resource as SdkResource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope as SdkScope


def attributes_of(pairs: Iterable[KeyValue], dropped: int = 0) -> BoundedAttributes:
    """The attributes, and how many were removed before."""
    found = BoundedAttributes(attributes={pair.key: _value(pair.value) for pair in pairs})
    found.dropped += dropped
    return found


def resource_of(resource: Resource, schema_url: str) -> SdkResource:
    """The resource of a request."""
    return SdkResource({pair.key: _value(pair.value) for pair in resource.attributes}, schema_url)


def scope_of(scope: InstrumentationScope, schema_url: str) -> SdkScope:
    """The scope of a request."""
    return SdkScope(scope.name, scope.version, schema_url)


def _value(value: AnyValue) -> Any:  # noqa: ANN401 - an attribute has one of several types
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value) for pair in value.kvlist_value.values}
    return None if kind is None else getattr(value, kind)
