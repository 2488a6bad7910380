"""Connections that end leave nothing that Python's garbage collector has to find: its collections are rare in an exporter."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from exporter.config.setting_types import Secret
from exporter.daemon.garbage_collection import THRESHOLDS
from tests.support.app import raw_app
from tests.support.daemon import Endpoints, running_daemon
from tests.support.raw_websocket import CLOSE, TEXT, frame, raw_connection, raw_websocket, request
from tests.support.waiting import eventually

_CALLS = 5
_STARTED = b'{"type":"session.started","agent_session_id":"as-%d","agent_id":"a"}'
_ENDED = b'{"type":"session.ended","reason":"completed"}'
_TURN = b'{"type":"turn.metrics","turn_number":1,"user_perceived_ms":700}'
_SERVERS = ("exporter", "uvicorn", "httptools")
"""Packages whose objects a connection is made of."""
_SENT: dict[str, tuple[bytes, ...]] = {
    "whole": (_STARTED, _TURN, _ENDED),
    "without an end": (_STARTED, _TURN),
    "not JSON": (_STARTED, b"{", b"[]", b'{"type":1}', _ENDED),
    "unknown": (_STARTED, b'{"type":"new.event","a":{"b":[1]}}', b'{"type":"turn.metrics","new":1,"llm_ttft_ms":-1}', _ENDED),
}


@contextmanager
def garbage() -> Iterator[Counter[str]]:
    """Count what the block leaves to the garbage collector, by type. The count is there after the block."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(type(each).__qualname__ for each in gc.garbage if type(each).__module__.partition(".")[0] in _SERVERS)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def _all_closed(endpoints: Endpoints) -> None:
    async def closed() -> bool:
        return await endpoints.total("agentstack_exporter_connections_active") == 0

    await eventually(closed)


class TestGarbage:
    @pytest.mark.parametrize("kind", _SENT)
    @pytest.mark.parametrize("closes", [True, False])
    async def test_calls(self, kind: str, closes: bool) -> None:
        """A call frees everything at once, whether it closes its connection or cuts it."""
        async with running_daemon() as endpoints:
            await endpoints.text()
            with garbage() as found:
                for number in range(_CALLS):
                    async with raw_websocket(endpoints.listen) as socket:
                        for payload in _SENT[kind]:
                            await socket.send(payload % number if b"%d" in payload else payload)
                        if closes:
                            await socket.send((1000).to_bytes(2, "big"), CLOSE)
                            await socket.close_code()
                await _all_closed(endpoints)
        assert found == {}

    async def test_violations(self) -> None:
        """A connection that violates the protocol frees everything."""
        async with running_daemon() as endpoints:
            await endpoints.text()
            with garbage() as found:
                for violation in (b"\xff\x80" + bytes(4), frame(b"\xff", TEXT), frame(b"x", CLOSE)) * _CALLS:
                    async with raw_websocket(endpoints.listen) as socket:
                        socket.writer.write(violation)
                        assert await socket.close_code()
                await _all_closed(endpoints)
        assert found == {}

    async def test_refused(self) -> None:
        """A refused handshake, a request that is none and a scrape free everything."""
        async with running_daemon(auth_tokens=(Secret("secret-token-1234"),)) as endpoints:
            await endpoints.text()
            with garbage() as found:
                for sent in (request(), request("/elsewhere"), b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"\x00" * 20) * _CALLS:
                    async with raw_connection(endpoints.listen) as socket:
                        socket.writer.write(sent)
                        await socket.reader.read()
                await endpoints.text()
        assert found == {}

    async def test_relayed(self) -> None:
        """A relayed call frees everything."""
        async with raw_app() as upstream, running_daemon(upstream=upstream.url) as endpoints:
            await endpoints.text()
            with garbage() as found:
                for number in range(_CALLS):
                    async with raw_websocket(endpoints.listen) as socket:
                        for payload in (_STARTED % number, _TURN, _ENDED):
                            await socket.send(payload)
                        (await upstream.side()).writer.close()
                        await socket.close_code()
                await _all_closed(endpoints)
        assert found == {}

    @pytest.mark.parametrize("measures", [True, False])
    async def test_without_the_app(self, measures: bool) -> None:
        """A call whose app cannot be reached frees everything, whether it is measured all the same or not."""
        async with running_daemon(upstream="ws://127.0.0.1:1", observe_without_upstream=measures) as endpoints:
            await endpoints.text()
            with garbage() as found:
                for number in range(_CALLS):
                    async with raw_connection(endpoints.listen) as socket:
                        socket.writer.write(request())
                        assert await socket.answer() == (101 if measures else 502)
                        socket.writer.write(frame(_STARTED % number) + frame((1000).to_bytes(2, "big"), CLOSE))
                        await socket.reader.read()
                await _all_closed(endpoints)
        assert found == {}

    async def test_tapped(self) -> None:
        """The calls of a tap, and its connection, free everything."""
        hello = b'{"hello":{"client":"client-%d","version":1}}'
        async with running_daemon() as endpoints:
            await endpoints.text()
            with garbage() as found:
                for number in range(_CALLS):
                    async with raw_websocket(endpoints.listen) as socket:
                        await socket.send(hello % number)
                        for seq, event in enumerate((_STARTED % number, _TURN, _ENDED), 1):
                            await socket.send(b'{"session":"s%d","seq":%d,"event":%s}' % (number, seq, event))
                        await endpoints.reaches("agentstack_sessions_ended_total", number + 1)
                        await socket.send((1000).to_bytes(2, "big"), CLOSE)
                        await socket.close_code()
                await _all_closed(endpoints)
        assert found == {}

    async def test_thresholds(self) -> None:
        """An exporter that runs looks for garbage rarely."""
        before = gc.get_threshold()
        try:
            async with running_daemon():
                assert gc.get_threshold() == THRESHOLDS
        finally:
            gc.set_threshold(*before)
