"""OTLP over gRPC. Requests and responses pass as bytes: they are encoded before and decoded after."""

import logging
import re
from typing import Final

import grpc
import grpc.aio

from exporter.exporters.otlp.sender.export_result import Answer, Failed, Refused, delivered, from_grpc
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
    # Proxy variables of the environment are meant for the agent's own traffic.
    ("grpc.enable_http_proxy", 0),
    # A channel that follows a failed one must not inherit its back-off.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
)

log = logging.getLogger(__name__)


class GrpcTransport:
    """One channel, made anew after each failure of the connection, when it reads certificates and resolves names again."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._channel: grpc.aio.Channel | None = None
        self._metadata = tuple(_metadata(target))
        self._compression = grpc.Compression.Gzip if target.compression == "gzip" else grpc.Compression.NoCompression

    async def send(self, body: bytes) -> Answer:
        """Call the export method once."""
        answer = await self._attempt(body)
        if isinstance(answer, Failed):
            await self.close()
        return answer

    async def close(self) -> None:
        """Close the channel; a call that is under way fails."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _attempt(self, body: bytes) -> Answer:
        try:
            if self._channel is None:
                self._channel = self._connect()
            export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(METHODS[self._target.signal])
            return delivered(await export(body, timeout=self._target.timeout, metadata=self._metadata))
        except TlsFileError as error:
            return Failed("tls", str(error))
        except grpc.aio.AioRpcError as error:
            return _answer(error)
        except grpc.aio.UsageError as error:
            return Refused("grpc_usage", str(error))

    def _connect(self) -> grpc.aio.Channel:
        address, files = self._target.endpoint, self._target.tls_files
        if not self._target.tls:
            return grpc.aio.insecure_channel(address, options=_OPTIONS, compression=self._compression)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=read_pem(files.authorities),
            private_key=read_pem(files.client_key or files.client_certificate),
            certificate_chain=read_pem(files.client_certificate),
        )
        return grpc.aio.secure_channel(address, credentials, options=_OPTIONS, compression=self._compression)


def _metadata(target: Target) -> list[tuple[str, str | bytes]]:
    found: list[tuple[str, str | bytes]] = []
    for name, value in target.headers:
        if not _METADATA_KEY.fullmatch(name) or name.startswith("grpc-"):
            log.warning("the header %s cannot be sent over gRPC and is left out", name)
            continue
        found.append((name, value.encode() if name.endswith("-bin") else value))
    return found


def _answer(error: grpc.aio.AioRpcError) -> Answer:
    status = dict(error.trailing_metadata() or ()).get(_STATUS_DETAILS)
    return from_grpc(error.code().name, error.details() or "", status if isinstance(status, bytes) else None)
