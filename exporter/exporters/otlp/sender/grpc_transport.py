"""OTLP over gRPC. gRPC sees requests and responses as bytes; encoding and decoding happen elsewhere."""

import asyncio
import logging
import re
from typing import Final, NamedTuple

import grpc
import grpc.aio

from exporter.exporters.otlp.sender.export_result import Delivered, ExportResult, PermanentFailure, RetryableFailure
from exporter.exporters.otlp.sender.file_thread import FileThread
from exporter.exporters.otlp.sender.response import delivered, from_grpc, guarded
from exporter.exporters.otlp.sender.transport import USER_AGENT, TlsFileError, read_pem
from exporter.exporters.otlp.target import Signal, Target, bracketed

METHODS: Final[dict[Signal, str]] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
_DNS_PORT: Final = 443
"""What gRPC takes for a name without a port."""
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_METADATA_KEY = re.compile(r"[0-9a-z_.-]+")
_OPTIONS: Final = (
    ("grpc.primary_user_agent", USER_AGENT),
    # A new channel must not inherit the back-off of the failed one before it.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
)

log = logging.getLogger(__name__)


class _Route(NamedTuple):
    """The address that a channel connects to, and its options."""

    address: str
    options: tuple[tuple[str, str | int], ...]


class GrpcTransport:
    """One channel. After a failed attempt it is replaced, so that certificates are read and names are resolved again."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._channel: grpc.aio.Channel | None = None
        self._files = FileThread("otlp-files")
        self._metadata = tuple(_metadata(target))
        self._compression = grpc.Compression.Gzip if target.compression == "gzip" else grpc.Compression.NoCompression

    async def send(self, body: bytes) -> ExportResult:
        """Call the export method once."""
        result = await self._attempt(body)
        if isinstance(result, RetryableFailure):
            await self.close()
        return result

    async def close(self) -> None:
        """Close the channel; a call in progress fails."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _attempt(self, body: bytes) -> ExportResult:
        try:
            if self._channel is None:
                async with asyncio.timeout(self.target.timeout):
                    self._channel = await self._connect()
            export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(METHODS[self.target.signal])
            answer = await export(body, timeout=self.target.timeout, metadata=self._metadata)
            return guarded(lambda: delivered(answer), Delivered())
        except TimeoutError:
            return RetryableFailure("timeout", f"timeout: certificates cannot be read within {self.target.timeout:g} s")
        except TlsFileError as error:
            return RetryableFailure("tls", str(error))
        except grpc.aio.AioRpcError as error:
            return _failure(error)
        except grpc.aio.UsageError as error:
            return PermanentFailure("grpc_usage", str(error))

    async def _connect(self) -> grpc.aio.Channel:
        route, files = _route(self.target), self.target.tls_files
        options = (*_OPTIONS, *route.options)
        if not self.target.tls:
            return grpc.aio.insecure_channel(route.address, options=options, compression=self._compression)
        paths = (files.authorities, files.client_key or files.client_certificate, files.client_certificate)
        roots, key, chain = await self._files.submit(lambda: [read_pem(path) for path in paths])
        credentials = grpc.ssl_channel_credentials(root_certificates=roots, private_key=key, certificate_chain=chain)
        return grpc.aio.secure_channel(route.address, credentials, options=options, compression=self._compression)


def _route(target: Target) -> _Route:
    """The channel to a target, or to its proxy, which opens a tunnel to the target.

    The settings have decided about the proxy. gRPC's own mapper would read the environment's ``no_proxy`` again, by other rules.
    """
    proxy = target.proxy
    if proxy is None:
        return _Route(target.endpoint, (("grpc.enable_http_proxy", 0),))
    authority = target.endpoint.rpartition("/")[2].removeprefix("dns:")
    host, _, port = authority.rpartition(":")
    if not host or not port.isdigit():
        host, authority = authority, f"{authority}:{_DNS_PORT}"
    options: list[tuple[str, str | int]] = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.http_connect_server", authority),
        ("grpc.default_authority", authority),
        ("grpc.ssl_target_name_override", host.strip("[]")),
    ]
    if proxy.authorization:
        options.append(("grpc.http_connect_headers", f"Proxy-Authorization:{proxy.authorization}"))
    return _Route(f"{bracketed(proxy.host)}:{proxy.port}", tuple(options))


def _metadata(target: Target) -> list[tuple[str, str | bytes]]:
    metadata: list[tuple[str, str | bytes]] = []
    for name, value in target.headers:
        if not _METADATA_KEY.fullmatch(name) or name.startswith("grpc-"):
            log.warning("export of %s to %s: header %s is not allowed in gRPC and is not sent", target.signal, target.address, name)
            continue
        metadata.append((name, value.encode() if name.endswith("-bin") else value))
    return metadata


def _failure(error: grpc.aio.AioRpcError) -> ExportResult:
    status_details = guarded(lambda: dict(error.trailing_metadata() or ()).get(_STATUS_DETAILS), None)
    return from_grpc(error.code().name, error.details() or "", status_details if isinstance(status_details, bytes) else None)
