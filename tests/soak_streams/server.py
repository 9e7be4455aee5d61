"""WebSockets that send messages back, and streams of numbered events: server.py WS-PORT SSE-PORT SEED PERIOD.

Prints "ready", and ends with its standard input. Each line there cuts one connection off, in a way that the seed chooses.
A stream has an event each PERIOD seconds, and begins behind `Last-Event-ID`; one in fifty is refused with 503.
"""

from __future__ import annotations

import asyncio
import logging
import random
import resource
import socket
import struct
import sys

from websockets.asyncio.server import ServerConnection, serve

dice = random.Random(int(sys.argv[3]))
period = float(sys.argv[4])
# As lists, not sets: what is chosen follows from the seed and the order in which they came.
sockets: list[ServerConnection] = []
streams: list[Stream] = []
# Nobody else keeps a task that closes.
closing: set[asyncio.Task[None]] = set()


class Stream:
    def __init__(self, writer: asyncio.StreamWriter, name: int, last: int) -> None:
        self.writer = writer
        self.name = name
        self.last = last
        self.chunked = name % 4 < 2

    def event(self) -> bytes:
        number = self.last + 1
        zeros = "0" * (number * 7 % 300 + 1)
        text = f"id: {number}\nevent: tick\ndata: {self.name} {number}\ndata: {zeros}\n\n".encode()
        return b"%x\r\n%s\r\n" % (len(text), text) if self.chunked else text

    async def run(self) -> None:
        coding = "Transfer-Encoding: chunked" if self.chunked else "Connection: close"
        self.writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{coding}\r\n\r\n".encode())
        while not self.writer.is_closing():
            self.writer.write(self.event())
            self.last += 1
            await self.writer.drain()
            await asyncio.sleep(period)


async def subscribe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        stream = Stream(writer, int(lines[0].split(" ")[1][1:]), int(fields.get("last-event-id", "0")))
        if dice.randrange(50) == 0:
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlater")
            return
        streams.append(stream)
        try:
            await stream.run()
        finally:
            streams.remove(stream)
    except (OSError, asyncio.IncompleteReadError):
        pass  # The client is gone, or was cut off.
    finally:
        writer.close()


async def echo(connection: ServerConnection) -> None:
    sockets.append(connection)
    try:
        async for message in connection:
            await connection.send(message)
    finally:
        sockets.remove(connection)


def reset(transport: asyncio.WriteTransport) -> None:
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


def cut_socket(connection: ServerConnection) -> None:
    transport = connection.transport
    if transport.is_closing():
        return
    match dice.randrange(4):
        case 0:
            reset(transport)
        case 1:
            transport.write(b"\x82\x7e\x10\x00half")
            transport.close()
        case 2:
            transport.close()
        case _:
            task = asyncio.create_task(connection.close(4001, "bye"))
            closing.add(task)
            task.add_done_callback(closing.discard)


def cut_stream(stream: Stream) -> None:
    transport = stream.writer.transport
    if transport.is_closing():
        return
    match dice.randrange(4):
        case 0:
            reset(transport)
        case 1:
            event = stream.event()
            transport.write(event[: dice.randrange(1, len(event))])
            transport.close()
        case 2:
            transport.close()
        case _:
            if stream.chunked:
                transport.write(b"0\r\n\r\n")
            transport.close()


async def main() -> None:
    logging.disable()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    await serve(echo, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await asyncio.start_server(subscribe, "127.0.0.1", int(sys.argv[2]), backlog=4096)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while await orders.readline():
        if dice.randrange(2) and sockets:
            cut_socket(dice.choice(sockets))
        elif streams:
            cut_stream(dice.choice(streams))


asyncio.run(main())
