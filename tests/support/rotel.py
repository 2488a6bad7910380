"""A real collector, rotel, in front of a test receiver."""

import asyncio
import os
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from exporter.exporters.otlp.target import Protocol
from tests.support.otlp_receiver import Site
from tests.support.peers import require
from tests.support.ports import free_port


@asynccontextmanager
async def rotel(behind: Site, folder: Path) -> AsyncIterator[dict[Protocol, str]]:
    """Run rotel in front of a receiver; yields its address for each protocol."""
    addresses: dict[Protocol, str] = {"grpc": f"127.0.0.1:{free_port()}", "http/protobuf": f"127.0.0.1:{free_port()}"}
    options = {
        "--otlp-grpc-endpoint": addresses["grpc"],
        "--otlp-http-endpoint": addresses["http/protobuf"],
        "--exporter": "otlp",
        "--otlp-exporter-endpoint": f"http://{behind.endpoint}",
        "--batch-timeout": "50ms",
        "--pid-file": str(folder / "rotel.pid"),
        "--log-file": str(folder / "rotel.log"),
    }
    command = [require("rotel-agent"), "start", *(word for pair in options.items() for word in pair)]
    environment = {"PATH": os.environ["PATH"]}
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield addresses
    finally:
        process.terminate()
        await process.wait()
