"""A WebSocket server that sends messages back: serve.py websockets|picows.

Prints its port, and ends with its standard input. The text "close" makes it close with 4001.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

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
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            transport.send(frame.msg_type, payload, frame.fin)


def listener(_: WSUpgradeRequest) -> WSListener | None:
    return Echo()


async def main(kind: str) -> None:
    server: asyncio.Server
    if kind == "picows":
        server = await ws_create_server(listener, "127.0.0.1", 0, max_frame_size=1 << 30)
        sockets = server.sockets
    else:
        sockets = (await serve(echo, "127.0.0.1", 0, max_size=None)).sockets
    print(next(iter(sockets)).getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main(sys.argv[1]))
