"""The routes of /live: the page, ``/api/v1`` and its streams."""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from exporter.exporters.live.assets import Assets
from exporter.exporters.live.call_lines import call_lines
from exporter.exporters.live.call_page import CALL_PAGE_POLICY, call_page
from exporter.exporters.live.fields import field_list
from exporter.exporters.live.hub import Hub, TooManyViewersError, Viewer
from exporter.exporters.live.messages import CallDetail, Failure
from exporter.exporters.live.state import LiveState
from exporter.sessions.call_journal import CallJournal

PING_EVERY: Final = 15.0
"""Seconds without an event after which a comment keeps a stream open."""
_PIECE: Final = 32_768
"""Bytes of an event that are written at a time: a viewer that does not read holds no more than two of them."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


class LivePages:
    """Answers requests about calls."""

    def __init__(self, state: LiveState, hub: Hub) -> None:
        self._state = state
        self._hub = hub
        self._fields = msgspec.json.encode(field_list())
        self._making = asyncio.Lock()
        """Held while a whole call is written: the last step of a long one takes some milliseconds, and those of many would add up."""

    def routes(self) -> list[Route]:
        """All routes."""
        assets = Assets()
        return [
            Route("/live", assets.page, methods=["GET"]),
            Route("/live/", assets.redirect, methods=["GET"]),
            Route("/live/{name}", assets.file, methods=["GET"]),
            Route("/api/v1/calls", self._calls, methods=["GET"]),
            Route("/api/v1/calls/{call_id}", self._call, methods=["GET"]),
            Route("/api/v1/calls/{call_id}/call.jsonl", self._lines, methods=["GET"]),
            Route("/api/v1/calls/{call_id}/call.html", self._page, methods=["GET"]),
            Route("/api/v1/calls/{call_id}/stream", _Stream(self._watch_call), methods=["GET"]),
            Route("/api/v1/summary", self._summary, methods=["GET"]),
            Route("/api/v1/fields", self._field_list, methods=["GET"]),
            Route("/api/v1/stream", _Stream(self._watch_list), methods=["GET"]),
        ]

    async def _calls(self, _: Request) -> Response:
        for made in self._state.call_list(self._hub.now()):
            if made is not None:
                return _json(made)
            await asyncio.sleep(0)
        raise AssertionError("a list is always made")

    async def _summary(self, _: Request) -> Response:
        return _json(self._state.summary_answer(self._hub.now(), self._hub.viewers))

    async def _field_list(self, _: Request) -> Response:
        return Response(self._fields, media_type="application/json", headers=_HEADERS)

    async def _call(self, request: Request) -> Response:
        journal = self._find(request.path_params)
        async with self._making:
            detail = None if journal is None else await self._detail(journal)
            return _unknown() if detail is None else _json(detail)

    async def _lines(self, request: Request) -> Response:
        journal = self._find(request.path_params)
        if journal is None:
            return _unknown()
        lines = []
        async with self._making:
            for number, line in enumerate(call_lines(journal, content=self._state.config.content)):
                lines.append(line)
                if number % 50 == 49:
                    await asyncio.sleep(0)
        return _file(b"".join(lines), "application/x-ndjson", f"call-{journal.id}.jsonl")

    async def _page(self, request: Request) -> Response:
        journal = self._find(request.path_params)
        pieces = []
        async with self._making:
            detail = None if journal is None else await self._detail(journal)
            if journal is None or detail is None:
                return _unknown()
            for piece in call_page(detail, self._state.config):
                pieces.append(piece)
                await asyncio.sleep(0)
        return _file("".join(pieces).encode(), "text/html; charset=utf-8", f"call-{journal.id}.html", policy=CALL_PAGE_POLICY)

    async def _detail(self, journal: CallJournal) -> CallDetail | None:
        now = self._hub.now()
        reader = self._state.reader(journal)
        for _ in reader.read():
            await asyncio.sleep(0)
        if journal.forgotten:
            return None
        turns = reader.turns(now)
        return CallDetail(
            seq=0,
            now=now,
            call=self._state.row(journal, now),
            lag=reader.lag(now),
            turns=turns,
            marks=reader.marks(turns, now),
            truncated=reader.truncated(),
        )

    def _watch_list(self, _: Scope) -> AbstractAsyncContextManager[Viewer]:
        return self._hub.watch_list()

    def _watch_call(self, scope: Scope) -> AbstractAsyncContextManager[Viewer] | None:
        journal = self._find(scope["path_params"])
        return None if journal is None else self._hub.watch_call(journal)

    def _find(self, path: dict[str, str]) -> CallJournal | None:
        return self._state.find(path["call_id"])


class _Stream:
    """Serves a stream of server-sent events, as an ASGI application. ``watch`` opens its viewer."""

    def __init__(self, watch: Callable[[Scope], AbstractAsyncContextManager[Viewer] | None]) -> None:
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, until the client leaves or the stream ends."""
        watching = self._watch(scope)
        if watching is None:
            await _unknown()(scope, receive, send)
            return
        try:
            async with watching as viewer:
                await self._serve(viewer, scope, receive, send)
        except TooManyViewersError:
            await _json(Failure(error="too many streams are open; try again later"), 503)(scope, receive, send)

    async def _serve(self, viewer: Viewer, scope: Scope, receive: Receive, send: Send) -> None:
        viewer.resume(next((value.decode("latin-1") for name, value in scope["headers"] if name == b"last-event-id"), None))
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body"})
            return
        writing = asyncio.ensure_future(_write(viewer, send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, leaving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


_STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),
    *((name.lower().encode(), value.encode()) for name, value in _HEADERS.items()),
]


async def _write(viewer: Viewer, send: Send) -> None:
    await _send(send, b"retry: 2000\n\n")
    while (bye := viewer.ended()) is None:
        event = viewer.next_event()
        if event is not None:
            await _send(send, event)
        if not await viewer.next_frame(PING_EVERY):
            await _send(send, b": nothing new\n\n")
    await _send(send, b"event: bye\ndata: %s\n\n" % msgspec.json.encode(bye))
    await send({"type": "http.response.body"})


async def _send(send: Send, data: bytes) -> None:
    """Write in pieces. Each waits until the connection has taken the one before, so that a slow reader holds little."""
    for begin in range(0, len(data), _PIECE):
        await send({"type": "http.response.body", "body": data[begin : begin + _PIECE], "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _json(message: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(message), status, media_type="application/json", headers=_HEADERS)


def _unknown() -> Response:
    return _json(Failure(error="no such call"), 404)


def _file(body: bytes, media_type: str, name: str, *, policy: str = "default-src 'none'; sandbox") -> Response:
    headers = {**_HEADERS, "Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": policy}
    return Response(body, media_type=media_type, headers=headers)
