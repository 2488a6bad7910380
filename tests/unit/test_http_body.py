"""How the body of a request is handed to aiohttp."""

import asyncio
from typing import Any, cast

import pytest

from exporter.exporters.otlp.sender.http_client import _Body


class Writer:
    """A writer of aiohttp that keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def send_headers(self) -> None:
        self.calls.append("head")

    async def write(self, chunk: bytes) -> None:
        self.calls.append(chunk)


@pytest.mark.parametrize(("size", "before"), [(100, []), (1_000_000, ["head"])])
def test_a_long_body_is_not_copied_to_stand_behind_the_head(size: int, before: list[object]) -> None:
    """A long body is written apart from the head, which aiohttp would copy it behind; a short one in one packet with it."""
    body, writer = bytes(size), Writer()
    asyncio.run(_Body(body).write(cast("Any", writer)))
    assert writer.calls == [*before, body]
    assert writer.calls[-1] is body
