"""A sample voice app: speaks a greeting to each caller, and answers tool calls. Yours takes its place."""

import asyncio
import json
import signal

from websockets.asyncio.server import ServerConnection, serve


async def call(socket: ServerConnection) -> None:
    """One call."""
    async for message in socket:
        event = json.loads(message)
        if event.get("type") == "session.started":
            await socket.send(json.dumps({"type": "agent_session.speak", "text": "Hello, how can I help?"}))
        elif event.get("type") == "tool.called":
            await socket.send(json.dumps({"type": "tool.result", "id": event.get("id"), "result": {"ok": True}}))


async def main() -> None:
    """Serve until the pod ends. The first process of a container gets no SIGTERM that it does not ask for."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with serve(call, "127.0.0.1", 9000):
        await stopping.wait()


asyncio.run(main())
