"""The servers that the exporter is compared with. ``python -m bench.rivals NAME`` takes the same address flags as ``serve``."""

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, Union

import msgspec
import uvicorn
import uvloop

import exporter.daemon.otlp
from bench.wired_by_hand import Event, Naive
from exporter.config import Address, Settings
from exporter.config.otel import read_otel
from exporter.daemon.serve import serve
from exporter.events import EVENTS
from exporter.server.listener_config import TRANSPORT_CAP
from exporter.sessions.kept_calls import KeptCalls
from exporter.sessions.session import Session

_HEARTBEAT = 0.001

App = Callable[[Event, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Awaitable[None]]


class Sink:
    """Receives and decodes frames, and keeps nothing."""

    def __init__(self) -> None:
        self.processed = 0
        self._decode = msgspec.json.Decoder(Union[EVENTS]).decode  # noqa: UP007 - built from a tuple

    async def __call__(self, _: Event, receive: Callable[[], Awaitable[Event]], send: Callable[[Event], Awaitable[None]]) -> None:
        decode = self._decode
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return
            text = message.get("text")
            decode(message["bytes"] if text is None else text)
            self.processed += 1


def _counted(rival: Sink | Naive) -> App:
    """Answers every request with the number of processed frames, under the exporter's metric name."""

    async def app(_: Event, _receive: Callable[[], Awaitable[Event]], send: Callable[[Event], Awaitable[None]]) -> None:
        body = b'agentstack_exporter_frames_total{outcome="processed"} %d\n' % rival.processed
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


class _Server(uvicorn.Server):
    """Unmodified uvicorn with the exporter's settings, without its signal handling."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - ASGI applications have no common type
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="websockets-sansio",
                ws_max_size=TRANSPORT_CAP,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self.socket = socket.create_server(("127.0.0.1", 0))

    @property
    def address(self) -> str:
        """The address it listens on."""
        return str(Address(*self.socket.getsockname()))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave SIGTERM to the caller, who runs two servers."""
        yield


def _rival(name: str) -> Sink | Naive:
    if name == "sink":
        return Sink()
    if name == "naive":
        return Naive()
    from bench.instrumented import Instrumented  # noqa: PLC0415 - the others are not to carry the SDK

    return Instrumented()


async def _serve_rival(name: str, ready: Path) -> None:
    rival = _rival(name)
    servers = _Server(rival if isinstance(rival, Sink) else rival.app), _Server(_counted(rival))
    ingest, telemetry = servers
    serving = [asyncio.create_task(server.serve(sockets=[server.socket])) for server in servers]
    while not all(server.started for server in servers):  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.001)
    gc.collect()
    gc.freeze()
    part = ready.with_suffix(".part")
    part.write_bytes(msgspec.json.encode({"listen": ingest.address, "telemetry_listen": telemetry.address}))
    part.replace(ready)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*serving)


async def _watched(ready: Path) -> None:
    """The exporter with a heartbeat task. On SIGUSR1 it prints the longest gap since the last time, and the 99th percentile."""
    gaps = [0.0]

    def tell() -> None:
        in_order = sorted(gaps)
        print(f"{in_order[-1]:.6f} {in_order[len(in_order) * 99 // 100]:.6f}", flush=True)
        gaps[:] = [0.0]

    async def beat() -> None:
        while True:
            before = perf_counter()
            await asyncio.sleep(_HEARTBEAT)
            gaps.append(perf_counter() - before - _HEARTBEAT)

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
    beating = asyncio.create_task(beat())
    any_port = Address("127.0.0.1", 0)
    await serve(Settings(listen=any_port, telemetry_listen=any_port, ready_file=ready, log_level="warning"), read_otel(os.environ)[0])
    beating.cancel()


async def _over_bare_connection(ready: Path) -> None:
    """The exporter with the cheapest HTTP connection there can be, instead of aiohttp's."""
    from bench.bare_connection import BareTransport  # noqa: PLC0415 - it imports aiohttp, which the others are not to carry

    setattr(exporter.daemon.otlp, "create_transport", BareTransport)  # noqa: B010 - it is imported there, not declared
    any_port = Address("127.0.0.1", 0)
    await serve(Settings(listen=any_port, telemetry_listen=any_port, ready_file=ready, log_level="warning"), read_otel(os.environ)[0])


async def _keeping_or_not(ready: Path) -> None:
    """The exporter, which keeps the calls to come for /live, or after SIGUSR1 does not, or does again after the next one."""
    opened, keeps = KeptCalls.open, [True]

    def open_if_kept(kept_calls: KeptCalls, session: Session) -> None:
        if keeps[0]:
            opened(kept_calls, session)

    setattr(KeptCalls, "open", open_if_kept)  # noqa: B010 - a switch that the exporter itself does not have
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: keeps.append(not keeps.pop()))
    any_port = Address("127.0.0.1", 0)
    await serve(Settings(listen=any_port, telemetry_listen=any_port, ready_file=ready, log_level="warning"), read_otel(os.environ)[0])


def main() -> None:
    """Run one of them until SIGTERM."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("name", choices=("sink", "naive", "instrumented", "watched", "bare", "keeping"))
    arguments.add_argument("--ready-file", type=Path, required=True)
    chosen = arguments.parse_args()
    whole = {"watched": _watched, "bare": _over_bare_connection, "keeping": _keeping_or_not}
    uvloop.run(whole[chosen.name](chosen.ready_file) if chosen.name in whole else _serve_rival(chosen.name, chosen.ready_file))


if __name__ == "__main__":
    main()
