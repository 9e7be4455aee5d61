"""A server of WebSockets that is not ours (websockets)."""

from __future__ import annotations

import socket
import threading
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from conftest import LONG


def handle(connection: ServerConnection) -> None:
    """Repeats each message; some it takes for commands."""
    try:
        for message in connection:
            if message == "close":
                connection.close(4001, "as asked")
            elif message == "drop":
                connection.socket.shutdown(socket.SHUT_RDWR)
            elif message == "flood":
                for _ in range(30):
                    connection.send(b"x" * 100_000)
            elif message == "hang":
                connection.recv(timeout=LONG)
            else:
                connection.send(message)
    except ConnectionClosed:
        pass  # The client has left, as it does in many tests.


class Peer:
    def __init__(self, **settings: Any) -> None:
        self.server: Server = serve(handle, "127.0.0.1", 0, max_size=None, **settings)
        self.url = f"ws://127.0.0.1:{self.server.socket.getsockname()[1]}/"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join(LONG)
