"""OTLP over gRPC. gRPC sees requests and responses as bytes; encoding and decoding happen elsewhere."""

import logging
import re
from typing import Final

import grpc
import grpc.aio

from exporter.exporters.otlp.sender.response import ExportResult, PermanentFailure, RetryableFailure, delivered, from_grpc
from exporter.exporters.otlp.sender.transport import USER_AGENT, TlsFileError, read_pem
from exporter.exporters.otlp.target import Signal, Target

METHODS: Final[dict[Signal, str]] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_METADATA_KEY = re.compile(r"[0-9a-z_.-]+")
_OPTIONS: Final = (
    ("grpc.primary_user_agent", USER_AGENT),
    # The environment's proxy variables are meant for the agent's own traffic.
    ("grpc.enable_http_proxy", 0),
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
                self._channel = self._connect()
            export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(METHODS[self.target.signal])
            return delivered(await export(body, timeout=self.target.timeout, metadata=self._metadata))
        except TlsFileError as error:
            return RetryableFailure("tls", str(error))
        except grpc.aio.AioRpcError as error:
            return _failure(error)
        except grpc.aio.UsageError as error:
            return PermanentFailure("grpc_usage", str(error))

    def _connect(self) -> grpc.aio.Channel:
        endpoint, files = self.target.endpoint, self.target.tls_files
        if not self.target.tls:
            return grpc.aio.insecure_channel(endpoint, options=_OPTIONS, compression=self._compression)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=read_pem(files.authorities),
            private_key=read_pem(files.client_key or files.client_certificate),
            certificate_chain=read_pem(files.client_certificate),
        )
        return grpc.aio.secure_channel(endpoint, credentials, options=_OPTIONS, compression=self._compression)


def _metadata(target: Target) -> list[tuple[str, str | bytes]]:
    metadata: list[tuple[str, str | bytes]] = []
    for name, value in target.headers:
        if not _METADATA_KEY.fullmatch(name) or name.startswith("grpc-"):
            log.warning("export of %s to %s: header %s is not allowed in gRPC and is not sent", target.signal, target.address, name)
            continue
        metadata.append((name, value.encode() if name.endswith("-bin") else value))
    return metadata


def _failure(error: grpc.aio.AioRpcError) -> ExportResult:
    status_details = dict(error.trailing_metadata() or ()).get(_STATUS_DETAILS)
    return from_grpc(error.code().name, error.details() or "", status_details if isinstance(status_details, bytes) else None)
