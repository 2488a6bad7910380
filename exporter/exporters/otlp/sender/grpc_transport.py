"""OTLP over gRPC. gRPC sees requests and responses as bytes; encoding and decoding happen elsewhere."""

import asyncio
import logging
import re
from typing import Final
from urllib.parse import quote

import grpc
import grpc.aio

from exporter.exporters.otlp.sender.file_thread import FileThread
from exporter.exporters.otlp.sender.response import (
    Delivered,
    ExportResult,
    PermanentFailure,
    RetryableFailure,
    delivered,
    from_grpc,
    guarded,
)
from exporter.exporters.otlp.sender.transport import USER_AGENT, TlsFileError, read_pem
from exporter.exporters.otlp.target import Proxy, Signal, Target, bracketed

METHODS: Final[dict[Signal, str]] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_METADATA_KEY = re.compile(r"[0-9a-z_.-]+")
_OPTIONS: Final = (
    ("grpc.primary_user_agent", USER_AGENT),
    # A new channel must not inherit the back-off of the failed one before it.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
)

log = logging.getLogger(__name__)


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
        endpoint, files = self.target.endpoint, self.target.tls_files
        options = (*_OPTIONS, *_proxy_options(self.target.proxy))
        if not self.target.tls:
            return grpc.aio.insecure_channel(endpoint, options=options, compression=self._compression)
        paths = (files.authorities, files.client_key or files.client_certificate, files.client_certificate)
        roots, key, chain = await self._files.submit(lambda: [read_pem(path) for path in paths])
        credentials = grpc.ssl_channel_credentials(root_certificates=roots, private_key=key, certificate_chain=chain)
        return grpc.aio.secure_channel(endpoint, credentials, options=options, compression=self._compression)


def _proxy_options(proxy: Proxy | None) -> tuple[tuple[str, str | int], ...]:
    """The settings have decided about the proxy, so gRPC does not read the environment's variables itself."""
    if proxy is None:
        return (("grpc.enable_http_proxy", 0),)
    user, separator, password = proxy.credentials.partition(":")
    login = f"{quote(user, safe='')}{separator}{quote(password, safe='')}@" if proxy.credentials else ""
    return (("grpc.enable_http_proxy", 1), ("grpc.http_proxy", f"http://{login}{bracketed(proxy.host)}:{proxy.port}"))


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
