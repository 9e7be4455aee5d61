"""A WebSocket server that sends messages back: serve.py websockets|picows|hypercorn.

hypercorn speaks HTTP/2, by prior knowledge, too. Prints its port, and ends with its standard input. The text "close" makes it close with 4001.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

import hypercorn.asyncio
from hypercorn.config import Config
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)
from websockets.asyncio.server import ServerConnection, serve


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        if message == "close":
            await socket.close(4001, "bye")
            return
        else:
            await socket.send(message)


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif payload == b"close":
            transport.send_close(cast(WSCloseCode, 4001), b"bye")
        elif frame.msg_type in (
            WSMsgType.TEXT,
            WSMsgType.BINARY,
            WSMsgType.CONTINUATION,
        ):
            transport.send(frame.msg_type, payload, frame.fin)


Message = dict[str, Any]


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "bye"})
        elif message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def serve_hypercorn(closed: Awaitable[Any]) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    config = Config()
    config.bind = [f"fd://{listening.fileno()}"]
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 0
    # Of a stream that it has closed it does not expect the answer to its Close frame, and gives the connection up.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    print(listening.getsockname()[1], flush=True)

    async def until_closed() -> None:
        await closed

    application: Any = app
    await hypercorn.asyncio.serve(application, config, shutdown_trigger=until_closed)


def listener(_: WSUpgradeRequest) -> WSListener | None:
    return Echo()


async def main(kind: str) -> None:
    closed = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    if kind == "hypercorn":
        return await serve_hypercorn(closed)
    server: asyncio.Server
    if kind == "picows":
        server = await ws_create_server(
            listener, "127.0.0.1", 0, max_frame_size=1 << 30
        )
        sockets = server.sockets
    else:
        sockets = (await serve(echo, "127.0.0.1", 0, max_size=None)).sockets
    print(next(iter(sockets)).getsockname()[1], flush=True)
    await closed


asyncio.run(main(sys.argv[1]))
