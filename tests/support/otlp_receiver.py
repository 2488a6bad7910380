"""An OTLP receiver for both protocols on one free port each, that keeps what it is sent and misbehaves when told to.

``Fault`` is what goes wrong with the connection, whatever is spoken over it; ``http_answer`` and ``grpc_answer`` are what the
receiver itself replies instead of taking a request.
"""

import asyncio
import contextlib
import gzip
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb

from exporter.exporters.otlp.target import Protocol, Signal

Fault = Literal["none", "black_hole", "reset", "drip"]
TYPES: dict[Signal, Any] = {
    "traces": (trace_pb.ExportTraceServiceRequest, trace_pb.ExportTraceServiceResponse),
    "metrics": (metrics_pb.ExportMetricsServiceRequest, metrics_pb.ExportMetricsServiceResponse),
}


@dataclass
class HttpAnswer:
    """An error status instead of accepting the request."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class GrpcAnswer:
    """The same for gRPC; ``retry_after`` (seconds) is sent as RetryInfo."""

    code: grpc.StatusCode
    retry_after: float | None = None


@dataclass
class Received:
    """An accepted request."""

    signal: Signal
    message: Any
    headers: dict[str, str]
    size: int

    def names(self) -> list[str]:
        """The names of its spans, in order."""
        return [span.name for rs in self.message.resource_spans for ss in rs.scope_spans for span in ss.spans]


@dataclass
class Receiver:
    """What was received, and what to do wrong. Answers are used up in order, each for one request, before requests are
    taken; ``None`` takes one. ``answer`` is given to every request instead, if set.
    """

    requests: list[Received] = field(default_factory=list)
    attempts: list[float] = field(default_factory=list)
    """When requests arrived, on the loop's clock."""
    answers: deque[HttpAnswer | GrpcAnswer | None] = field(default_factory=deque)
    answer: HttpAnswer | GrpcAnswer | None = None
    longest: int = 1 << 30
    """Requests with more bytes are refused for that."""
    rejected: int = 0
    message: str = ""
    connections: int = 0

    def spans(self) -> list[str]:
        """The names of all received spans, in order."""
        return [name for request in self.requests if request.signal == "traces" for name in request.names()]

    def next_answer(self) -> HttpAnswer | GrpcAnswer | None:
        self.attempts.append(asyncio.get_running_loop().time())
        return self.answers.popleft() if self.answers else self.answer

    def take(self, signal: Signal, body: bytes, headers: dict[str, str]) -> bytes:
        """Store a request and return the response."""
        request, response = TYPES[signal]
        message = request()
        message.ParseFromString(body)
        self.requests.append(Received(signal, message, headers, len(body)))
        partial: dict[str, object] = {"error_message": self.message}
        partial["rejected_spans" if signal == "traces" else "rejected_data_points"] = self.rejected
        answer: bytes = response(partial_success=partial).SerializeToString() if self.rejected or self.message else b""
        return answer


_TURNS_OF_THE_LOOP = 5


async def _end(server: asyncio.Server | None, tasks: set[asyncio.Task[Any]]) -> None:
    """Close a server and the connections that these tasks serve, and those that were accepted just now and have no task yet.

    asyncio leaves a connection open that was accepted in the same turn of the loop in which its server is closed, so first come turns
    in which nobody connects any more.
    """
    for turn in range(2 * _TURNS_OF_THE_LOOP):
        await asyncio.sleep(0)
        if server is not None and turn == _TURNS_OF_THE_LOOP:
            server.close()
        if turn >= _TURNS_OF_THE_LOOP:
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class ReceiverListener:
    """A port in front of a server. It can be closed, so that connections are refused, and it can break connections."""

    def __init__(self, receiver: Receiver, connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]) -> None:
        self.fault: Fault = "none"
        self.port = 0
        self._receiver = receiver
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse new connections and end the open ones."""
        await _end(self._server, self._tasks)
        self._server = None

    def spoil(self, fault: Fault) -> None:
        """Break all connections from now on, and end the open ones."""
        self.fault = fault
        for task in list(self._tasks):
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._receiver.connections += 1
        try:
            await self._handle(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault == "black_hole":
            self._receiver.attempts.append(asyncio.get_running_loop().time())
            await asyncio.Event().wait()
        if self.fault == "reset":
            await reader.read(100)
            self._receiver.attempts.append(asyncio.get_running_loop().time())
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        connecting = asyncio.ensure_future(self._connect())
        try:
            inner_reader, inner_writer = await asyncio.shield(connecting)
        except asyncio.CancelledError:
            (await connecting)[1].close()  # the backend is here: it takes no time, and cancelled it would be left open
            raise
        try:
            ways = [_copy(reader, inner_writer), _copy(inner_reader, writer, slow=self.fault == "drip")]
            tasks = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            inner_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool = False) -> None:
    while data := await reader.read(1 if slow else 65536):
        writer.write(data)
        await writer.drain()
        if slow:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.05)


async def _serve_http(receiver: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            first = await reader.readexactly(1)
            if not first.isalpha():  # as a TLS handshake
                break
            head = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            path = head[0].split(" ")[1]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            headers[":path"] = path
            body = await reader.readexactly(int(headers["content-length"]))
            answer = receiver.next_answer() if len(body) <= receiver.longest else HttpAnswer(413)
            if not isinstance(answer, HttpAnswer):
                body = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
                signal: Signal = "metrics" if path.endswith("metrics") else "traces"
                answer = HttpAnswer(200, {"content-type": "application/x-protobuf"}, receiver.take(signal, body, headers))
            lines = [f"HTTP/1.1 {answer.status} X", f"content-length: {len(answer.body)}"]
            lines += [f"{name}: {value}" for name, value in answer.headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
            await writer.drain()
    writer.close()


class _GrpcService(grpc.GenericRpcHandler):
    def __init__(self, receiver: Receiver, loop: asyncio.AbstractEventLoop) -> None:
        self._receiver = receiver
        self._loop = loop

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        signal: Signal = "metrics" if "metrics" in details.method else "traces"

        def export(body: bytes, context: grpc.ServicerContext) -> bytes:
            headers = {str(name): str(value) for name, value in context.invocation_metadata()}
            return asyncio.run_coroutine_threadsafe(self._export(signal, body, headers, context), self._loop).result()

        return grpc.unary_unary_rpc_method_handler(export)

    async def _export(self, signal: Signal, body: bytes, headers: dict[str, str], context: grpc.ServicerContext) -> bytes:
        if len(body) > self._receiver.longest:
            context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
            context.set_details(f"grpc: received message larger than max ({len(body)} vs. {self._receiver.longest})")
            return b""
        answer = self._receiver.next_answer()
        if not isinstance(answer, GrpcAnswer):
            return self._receiver.take(signal, body, headers)
        if answer.retry_after is not None:
            status = Status(code=answer.code.value[0])
            status.details.add().Pack(RetryInfo(retry_delay=Duration(nanos=int(answer.retry_after * 1e9))))
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.set_code(answer.code)
        context.set_details("as told")
        return b""


@dataclass(frozen=True)
class Site:
    """A running receiver and the port in front of it."""

    receiver: Receiver
    listener: ReceiverListener
    protocol: Protocol

    @property
    def endpoint(self) -> str:
        """As :class:`exporter.exporters.otlp.target.Target` wants it, for spans."""
        return f"127.0.0.1:{self.listener.port}" if self.protocol == "grpc" else f"http://127.0.0.1:{self.listener.port}/v1/traces"


@asynccontextmanager
async def otlp_receiver(protocol: Protocol, *, tls: Any = None) -> AsyncIterator[Site]:
    """Run a receiver until the block ends; with ``tls`` (an ``ssl.SSLContext`` or gRPC server credentials) over TLS."""
    receiver = Receiver()
    serve = _grpc_backend if protocol == "grpc" else _http_backend
    async with serve(receiver, tls) as port:
        listener = ReceiverListener(receiver, lambda: asyncio.open_connection("127.0.0.1", port))
        await listener.open()
        try:
            yield Site(receiver, listener, protocol)
        finally:
            await listener.shut()


@asynccontextmanager
async def _http_backend(receiver: Receiver, tls: Any) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _serve_http(receiver, reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await _end(server, tasks)


@asynccontextmanager
async def _grpc_backend(receiver: Receiver, tls: Any) -> AsyncIterator[int]:
    threads = ThreadPoolExecutor(4)
    server = grpc.server(threads, handlers=[_GrpcService(receiver, asyncio.get_running_loop())])
    port = server.add_secure_port("127.0.0.1:0", tls) if tls else server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        stopped = server.stop(None)
        await asyncio.to_thread(stopped.wait)
        await asyncio.to_thread(threads.shutdown)  # on the loop it waits for ever: a call that was cut off wants its answer from there
