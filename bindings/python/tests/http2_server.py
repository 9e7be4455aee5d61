"""A server of HTTP/2 for the tests: hypercorn, over TLS and without.

It prints the two ports and lives as long as its standard input is open. The argument: streams at a time.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

TLS = Path(__file__).resolve().parents[3] / "examples" / "demo" / "tls"
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def echo(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """/bytes/N gives N bytes, /count tells how many came, /trailers has a trailer; all else tells the version.
    WebSockets get their messages back."""
    if scope["type"] == "websocket":
        await echo(receive, send)
    if scope["type"] != "http":
        return
    received, more = 0, True
    while more:
        message = await receive()
        received += len(message.get("body", b""))
        more = message.get("more_body", False)
    path = scope["path"]
    start: Message = {"type": "http.response.start", "status": 200, "headers": []}
    if path == "/trailers" and "http.response.trailers" in scope["extensions"]:
        await send({**start, "trailers": True})
        await send({"type": "http.response.body", "body": b"body"})
        await send({"type": "http.response.trailers", "headers": [(b"sum", b"7")]})
        return
    await send(start)
    if path.startswith("/bytes/"):
        left = int(path[7:])
        while left > 0:
            piece = min(left, 60_000)
            await send({"type": "http.response.body", "body": b"x" * piece, "more_body": True})
            left -= piece
        await send({"type": "http.response.body"})
    else:
        text = str(received) if path == "/count" else scope["http_version"]
        await send({"type": "http.response.body", "body": text.encode()})


async def main() -> None:
    sockets = [socket.create_server(("127.0.0.1", 0), backlog=128) for _ in range(2)]
    config = Config()
    config.h2_max_concurrent_streams = int(sys.argv[1])
    config.keep_alive_max_requests = 1_000_000
    config.certfile, config.keyfile = str(TLS / "server.pem"), str(TLS / "server.pem")
    config.bind, config.insecure_bind = [f"fd://{sockets[0].fileno()}"], [f"fd://{sockets[1].fileno()}"]
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 0
    print("ports", *(listener.getsockname()[1] for listener in sockets), flush=True)
    closed = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    async def until_closed() -> None:
        await closed

    # Connections that are open at its end are of no interest.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    application: Any = app
    await serve(application, config, shutdown_trigger=until_closed)


if __name__ == "__main__":
    asyncio.run(main())
