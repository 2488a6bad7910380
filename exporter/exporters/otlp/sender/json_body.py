"""A request in OTLP's JSON form, for receivers that read nothing else. It takes many times as long as protobuf.

It is protobuf's JSON mapping, with two exceptions: trace and span ids are hexadecimal, and enumerations are numbers.
Source: the OTLP specification, "JSON Protobuf Encoding".
"""

import base64
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from exporter.exporters.otlp.target import Signal

_REQUESTS: Final[dict[Signal, type[Message]]] = {"traces": ExportTraceServiceRequest, "metrics": ExportMetricsServiceRequest}
_IDS: Final = ("traceId", "spanId", "parentSpanId")
_WITHOUT_IDS: Final = frozenset({"attributes", "resource", "scope"})
"""Keys of what can be large and holds no ids."""


def json_body(signal: Signal, body: bytes) -> bytes:
    """The request ``body``, which is protobuf, as JSON."""
    request = MessageToDict(_REQUESTS[signal].FromString(body), use_integers_for_enums=True)
    for holder in _objects(request):
        for name in _IDS:
            if name in holder:
                holder[name] = base64.b64decode(holder[name]).hex()
    return msgspec.json.encode(request)


def _objects(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON has values of any kind
    """All objects below a value that can hold ids."""
    if isinstance(value, dict):
        yield value
        for key, inner in value.items():
            if key not in _WITHOUT_IDS and isinstance(inner, (dict, list)):
                yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)
