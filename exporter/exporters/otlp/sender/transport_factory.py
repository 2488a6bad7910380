"""Chooses the transport. Each is imported only when it is used."""

from exporter.exporters.otlp.sender.transport import Transport
from exporter.exporters.otlp.target import Target


def create_transport(target: Target) -> Transport:
    """The transport for a target's protocol. It does not connect yet."""
    if target.protocol == "grpc":
        from exporter.exporters.otlp.sender.grpc_transport import GrpcTransport  # noqa: PLC0415 - 15 MB that HTTP does not need

        return GrpcTransport(target)
    from exporter.exporters.otlp.sender.http_transport import HttpTransport  # noqa: PLC0415 - as above

    return HttpTransport(target)
