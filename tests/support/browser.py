"""A real browser: the system's Chromium, driven by Playwright."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from tests.support.peers import require
from tests.support.waiting import patience


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run Chromium until the block ends."""
    path = require("chromium")
    async with async_playwright() as playwright:
        # Its sandbox needs rights that a container does not give; it shows nothing but pages of ours.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visit:
    """A page that is looked at, and what went on in it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def origins(self) -> set[str]:
        """Where it sent requests."""
        return {"{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in self.requests}


def is_fault(message: ConsoleMessage) -> bool:
    """Whether the browser reports a fault of the page. An answer that is no success is none: the page asks for what may be gone."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


@asynccontextmanager
async def visit(browser: Browser, url: str, **context: Any) -> AsyncIterator[Visit]:
    """Look at a page until the block ends, with a profile of its own; ``context`` are options of Playwright's ``new_context``."""
    profile = await browser.new_context(**context)
    try:
        page = await profile.new_page()
        page.set_default_timeout(patience(5) * 1000)
        found = Visit(page)
        page.on("request", lambda request: found.requests.append(request.url))
        page.on("pageerror", lambda error: found.errors.append(str(error)))
        page.on("console", lambda message: found.errors.append(message.text) if is_fault(message) else None)
        page.on("dialog", lambda dialog: found.errors.append(f"dialog {dialog.message}"))
        await page.goto(url)
        yield found
    finally:
        await profile.close()


@asynccontextmanager
async def behind_path(address: str, path: bytes) -> AsyncIterator[str]:
    """A proxy that serves ``address`` below a path, which it removes; gives its own address."""
    host, _, port = address.rpartition(":")
    serving: set[asyncio.Task[Any]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, before: bytes = b"", after: bytes = b"") -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data.replace(before, after) if before else data)
                await writer.drain()
        except OSError:
            pass  # one side has gone
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        ways = (copy(reader, inner_writer, b"GET " + path + b"/", b"GET /"), copy(inner_reader, writer))
        await asyncio.gather(*ways)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
