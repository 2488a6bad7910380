"""The resource: the attributes that describe this process in every request."""

from collections.abc import Mapping
from importlib.metadata import version as installed_version
from typing import Final
from uuid import uuid4

from exporter import __version__
from exporter.protobuf import AttributeValue, attributes

SERVICE_NAME: Final = "agentstack-exporter"
"""The service's name unless the user sets another."""


def resource_attributes(
    given: Mapping[str, AttributeValue] | None = None, *, service_name: str | None = None, version: str = __version__
) -> dict[str, AttributeValue]:
    """The resource's attributes. Call it once, so that all signals share them. See the two functions below."""
    return default_attributes(version) | given_attributes(given or {}, service_name)


def default_attributes(version: str = __version__) -> dict[str, AttributeValue]:
    """The attributes unless others are given. Every process has its own instance id.

    Source: OpenTelemetry semantic conventions, "Service", "Telemetry SDK".
    """
    return {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": installed_version("opentelemetry-sdk"),
        "service.name": SERVICE_NAME,
        "service.version": version,
        "service.instance.id": str(uuid4()),
    }


def given_attributes(given: Mapping[str, AttributeValue], service_name: str | None) -> dict[str, AttributeValue]:
    """What ``OTEL_RESOURCE_ATTRIBUTES`` says, and ``OTEL_SERVICE_NAME``, which wins. Empty values are ignored."""
    found = {name: value for name, value in given.items() if value != ""}
    return found | {"service.name": service_name} if service_name else found


def encoded_resource(resource: Mapping[str, AttributeValue]) -> bytes:
    """The content of a ``Resource`` message."""
    return attributes(1, resource)
