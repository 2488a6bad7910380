"""Clients on raw sockets. They cost almost nothing, so that the server is measured."""

import itertools
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.frames import Frame, Opcode

from bench.frames import Load, masked

_SLICE = 256 * 1024
_HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_PING = 0x89
_session_numbers = itertools.count(1)


class Peers:
    """Connections to one server, each of them a call of one of some agents that has begun."""

    def __init__(self, port: int, agents: int = 5) -> None:
        self._port = port
        self._agents = agents
        self.sockets: list[socket.socket] = []

    def open(self, number: int) -> None:
        """Open this many more connections, and begin a call on each."""
        self.sockets += [self._begin() for _ in range(number)]

    def replace(self, which: int) -> None:
        """End the connection at a place, and begin a new call there."""
        self.sockets[which].close()
        self.sockets[which] = self._begin()

    def _begin(self) -> socket.socket:
        peer = socket.create_connection(("127.0.0.1", self._port))
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SLICE)
        peer.sendall(_HANDSHAKE)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += peer.recv(4096)
        assert b" 101 " in answer, answer
        name = next(_session_numbers)
        begin = {
            "type": "session.started",
            "agent_session_id": f"as-{name:016x}",
            "call_id": f"c-{name}",
            "agent_id": f"a-{name % self._agents}",
        }
        peer.sendall(masked(begin))
        return peer

    def answer_pings(self) -> None:
        """Read what the server sent, and answer its pings. Call it every few seconds while connections stay open."""
        for peer in self.sockets:
            try:
                received = peer.recv(65_536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            # The server sends only small frames, and each arrives whole: the subscription and pings.
            while len(received) >= 2:
                end = 2 + received[1]
                if received[0] == _PING:
                    peer.sendall(Frame(Opcode.PONG, received[2:end]).serialize(mask=True))
                received = received[end:]

    def close(self) -> None:
        """Drop all connections."""
        for peer in self.sockets:
            peer.close()
        self.sockets.clear()

    def flood(self, *loads: Load) -> int:
        """Send a whole load on each connection as fast as the server takes it; returns how many frames that were.

        Connections take the loads in turn.
        """
        views, positions = [memoryview(load.data) for load in loads], dict.fromkeys(self.sockets, 0)
        with selectors.DefaultSelector() as selector:
            for number, peer in enumerate(self.sockets):
                peer.settimeout(0)
                selector.register(peer, selectors.EVENT_WRITE, (peer, views[number % len(views)]))
            while selector.get_map():
                for key, _ in selector.select():
                    peer, view = key.data
                    at = positions[peer]
                    positions[peer] = at + peer.send(view[at : at + _SLICE])
                    if positions[peer] == len(view):
                        selector.unregister(peer)
                        peer.settimeout(None)
        return sum(len(loads[number % len(loads)].ends) for number in range(len(self.sockets)))

    def pace(self, load: Load, rate: float, number: int, first: int = 0) -> int:
        """Send ``number`` frames from frame ``first`` on, one at a time over all connections in turn, ``rate`` per second."""
        view, begun = memoryview(load.data), time.perf_counter()
        starts = (0, *load.ends)
        for sent in range(number):
            round_, which = divmod(sent, len(self.sockets))
            frame = (first + round_) % len(load.ends)
            while (early := begun + sent / rate - time.perf_counter()) > 0:
                time.sleep(early)
            self.sockets[which].sendall(view[starts[frame] : load.ends[frame]])
        return number


@contextmanager
def peers(port: int, number: int, agents: int = 5) -> Iterator[Peers]:
    """``number`` connections during the block."""
    group = Peers(port, agents)
    try:
        group.open(number)
        yield group
    finally:
        group.close()
