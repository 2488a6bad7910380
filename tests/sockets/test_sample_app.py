"""The sample voice app of the sidecar example."""

import asyncio
import signal
import socket
import sys
from pathlib import Path

from tests.support.house_rules import ROOT
from tests.support.ports import free_port
from tests.support.waiting import eventually

APP = ROOT / "deploy" / "kubernetes" / "sidecar" / "app.py"


def listens(port: int) -> bool:
    """Whether a connection to the port is taken."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_the_sample_app_handles_sigterm(tmp_path: Path) -> None:
    """It ends by itself with 0: as a container's first process it would else run on and use up the time the exporter needs to drain."""
    port = free_port()
    app = tmp_path / "app.py"
    app.write_text(APP.read_text(encoding="utf-8").replace("9000", str(port)), encoding="utf-8")
    running = await asyncio.create_subprocess_exec(sys.executable, str(app))
    try:
        await eventually(lambda: listens(port), because="the sample app listens")
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 10) == 0
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
