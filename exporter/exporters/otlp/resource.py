"""The resource: the attributes that describe this process in every request."""

from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from exporter import __version__
from exporter.protobuf import AttributeValue, attributes

SERVICE_NAME: Final = "agentstack-exporter"
"""The service's name unless the user sets another."""


def resource_attributes(
    given: Mapping[str, AttributeValue] | None = None, *, service_name: str | None = None, version: str = __version__
) -> dict[str, AttributeValue]:
    """The resource's attributes. Call it once, so that all signals share them.

    ``given`` comes from ``OTEL_RESOURCE_ATTRIBUTES``; ``service_name`` comes from ``OTEL_SERVICE_NAME`` and wins. Without a given
    ``service.instance.id`` the instance has a random one. Empty values are ignored.
    Source: OpenTelemetry semantic conventions, "Service".
    """
    given = {name: value for name, value in (given or {}).items() if value != ""}
    defaults: dict[str, AttributeValue] = {
        "service.name": SERVICE_NAME,
        "service.version": version,
        "service.instance.id": str(uuid4()),
    }
    return {**defaults, **given, **({"service.name": service_name} if service_name else {})}


def encoded_resource(resource: Mapping[str, AttributeValue]) -> bytes:
    """The content of a ``Resource`` message."""
    return attributes(1, resource)
