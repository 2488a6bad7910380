"""The JavaScript tap of docs/tap.md, as printed there, against the real endpoint."""

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import running_daemon
from tests.support.house_rules import ROOT
from tests.support.samples import CALL
from tests.support.waiting import patience

NODE = shutil.which("node")
USE = """
import { readFileSync } from "node:fs";
import { Tap } from "./tap.mjs";
const [url, file] = process.argv.slice(2);
const tap = new Tap(url);
for (const frame of readFileSync(file, "utf8").split("\\n")) tap.send("as-7f3c", frame);
tap.send("as-7f3c", "no JSON");
tap.add({ session: "as-7f3c", event: 1 }, {});
tap.end("as-7f3c");
await tap.flush();
tap.socket.close();                    // the connection breaks, with what follows still to be sent
tap.send("as-8", JSON.stringify({ type: "session.started", agent_session_id: "as-8", agent_id: "support" }));
await tap.flush();
tap.close();
"""


def printed() -> str:
    """The module in the documentation."""
    (found,) = re.findall(r"```js\n(// tap\.mjs\n.*?)```", (ROOT / "docs" / "tap.md").read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


async def run(directory: Path, *arguments: str) -> tuple[int, str]:
    """Run the use of it; Node 20 has to be asked for its WebSocket."""
    assert NODE is not None
    options = {**os.environ, "NODE_OPTIONS": "--experimental-websocket"}
    process = await asyncio.create_subprocess_exec(
        NODE, "use.mjs", *arguments, cwd=directory, env=options, stderr=asyncio.subprocess.STDOUT, stdout=asyncio.subprocess.PIPE
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), patience(20))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode()


@pytest.mark.skipif(NODE is None, reason="there is no Node here")
async def test_the_printed_tap_works(tmp_path: Path) -> None:
    """A call of which it tells is counted whole, what it dropped is reported, and it comes back after its connection broke."""
    (tmp_path / "tap.mjs").write_text(printed(), encoding="utf-8")
    (tmp_path / "use.mjs").write_text(USE, encoding="utf-8")
    events: list[dict[str, Any]] = CALL
    (tmp_path / "frames").write_text("\n".join(json.dumps(event) for event in events), encoding="utf-8")
    async with running_daemon() as endpoints:
        code, output = await run(tmp_path, endpoints.ws, str(tmp_path / "frames"))
        assert code == 0, output
        assert await endpoints.total("agentstack_exporter_frames_total", outcome="processed") == len(events) + 1
        assert await endpoints.total("agentstack_exporter_frames_rejected_total") == 1
        assert await endpoints.total("agentstack_exporter_tap_dropped_total", reason="unreadable") == 1
        assert await endpoints.total("agentstack_exporter_connections_total") == 2
        assert await endpoints.total("agentstack_sessions_total") == 2
        assert await endpoints.total("agentstack_sessions_ended_total", reason="user_hangup") == 1
