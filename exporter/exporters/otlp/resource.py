"""Who is speaking: the resource that metrics and spans are sent with."""

from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from exporter import __version__
from exporter.protobuf import AttributeValue, attributes

SERVICE_NAME: Final = "agentstack-exporter"
"""What the service is called unless the user says otherwise."""


def resource_attributes(
    given: Mapping[str, AttributeValue] | None = None, *, service_name: str | None = None, version: str = __version__
) -> dict[str, AttributeValue]:
    """The resource's attributes; to be called once, so that all signals share them.

    ``given`` is what ``OTEL_RESOURCE_ATTRIBUTES`` says, ``service_name`` is ``OTEL_SERVICE_NAME`` and wins over it. An instance is
    told from others by a random id unless one is given; empty values count as not given.
    Source: OpenTelemetry semantic conventions, "Service".
    """
    said = {name: value for name, value in (given or {}).items() if value != ""}
    defaults: dict[str, AttributeValue] = {
        "service.name": SERVICE_NAME,
        "service.version": version,
        "service.instance.id": str(uuid4()),
    }
    return {**defaults, **said, **({"service.name": service_name} if service_name else {})}


def encoded_resource(resource: Mapping[str, AttributeValue]) -> bytes:
    """The content of a ``Resource`` message."""
    return attributes(1, resource)
