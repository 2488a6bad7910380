"""Chooses the transport; each is imported only when it is used."""

from exporter.expose.otlp_target import Target
from exporter.expose.sender.transport import Transport


def open_transport(target: Target) -> Transport:
    """The transport for a target's protocol. Nothing is connected yet."""
    if target.protocol == "grpc":
        from exporter.expose.sender.over_grpc import GrpcTransport  # noqa: PLC0415 - 15 MB that HTTP does not need

        return GrpcTransport(target)
    from exporter.expose.sender.over_http import HttpTransport  # noqa: PLC0415 - as above

    return HttpTransport(target)
