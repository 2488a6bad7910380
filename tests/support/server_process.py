"""Somebody else's server as a process whose output goes to a file."""

import asyncio
import re
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import eventually


@dataclass(frozen=True)
class ServerProcess:
    """A server that was started."""

    process: asyncio.subprocess.Process
    log: Path

    async def logged(self, pattern: str) -> str:
        """Wait for a line that matches, and give its group: on port 0 only the log knows where a server listens."""

        def found() -> str:
            text = self.log.read_text(encoding="utf-8")
            match = re.search(pattern, text)
            assert match, text[-2000:]
            assert self.process.returncode is None, text[-2000:]
            return match[1]

        return await eventually(found, within=30, because=f"{self.log.name} to say {pattern}")


@asynccontextmanager
async def server_process(name: str, command: Sequence[str], directory: Path) -> AsyncIterator[ServerProcess]:
    """Run a server with its log in ``directory``; it does not outlive the block."""
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=output, stderr=output, cwd=directory)
    try:
        yield ServerProcess(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
