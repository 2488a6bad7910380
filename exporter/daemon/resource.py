"""The resource of the exporter, once for all signals and all exporters."""

from exporter.config.otel import OtelSettings
from exporter.exporters.otlp.resource import default_attributes, given_attributes, resource_attributes
from exporter.protobuf import AttributeValue


def resource_of(otel: OtelSettings) -> dict[str, AttributeValue]:
    """The attributes that the settings give, and those that detectors find if any is named. Detectors may take five seconds."""
    given = dict(otel.resource_attributes)
    if not otel.resource_detectors:
        return resource_attributes(given, service_name=otel.service_name)
    from exporter.exporters.sdk.resource_detectors import detected  # noqa: PLC0415 - it imports the SDK

    return detected(default_attributes(), given_attributes(given, otel.service_name), otel.resource_detectors)
