"""The C interface from Python's standard library alone: the proof that a binding needs no compiler.

The layouts below are the header's, written down a second time; `chttp_struct_size` says whether they agree. The library
is the one that CHTTPCORE_LIBRARY names, else that of `build/`.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
import struct
import threading
import unittest
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

BUILD = Path(__file__).resolve().parents[2] / "build"

EV_HEADERS, EV_BODY, EV_DONE, EV_RESPONSE, EV_WRITABLE, EV_WRITE_DONE = 2, 3, 5, 6, 7, 8
EF_TERMINAL, EF_REUSED = 1, 8
REQ_COLLECT, REQ_STREAM_BODY = 1, 2
OPT_IO_THREADS, OPT_SEND_BUFFER = 1, 15
UNLIMITED = LENGTH_UNKNOWN = (1 << 64) - 1
BATCH = 256


class Field(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("name_len", ctypes.c_size_t),
        ("value", ctypes.c_char_p),
        ("value_len", ctypes.c_size_t),
    ]


class Request(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("token", ctypes.c_uint64),
        ("url", ctypes.c_char_p),
        ("url_len", ctypes.c_size_t),
        ("method", ctypes.c_char_p),
        ("method_len", ctypes.c_size_t),
        ("target", ctypes.c_char_p),
        ("target_len", ctypes.c_size_t),
        ("headers", ctypes.POINTER(Field)),
        ("headers_len", ctypes.c_size_t),
        ("header_block", ctypes.c_char_p),
        ("header_block_len", ctypes.c_size_t),
        ("body", ctypes.c_char_p),
        ("body_len", ctypes.c_uint64),
        ("body_offset", ctypes.c_uint64),
        ("body_fd", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
        ("unix_path", ctypes.c_char_p),
        ("unix_path_len", ctypes.c_size_t),
        ("recv_credit", ctypes.c_uint64),
        ("collect_max", ctypes.c_uint64),
        ("total_timeout_ns", ctypes.c_uint64),
        ("pool_timeout_ns", ctypes.c_uint64),
        ("dns_timeout_ns", ctypes.c_uint64),
        ("connect_timeout_ns", ctypes.c_uint64),
        ("write_timeout_ns", ctypes.c_uint64),
        ("first_byte_timeout_ns", ctypes.c_uint64),
        ("read_timeout_ns", ctypes.c_uint64),
        ("expect_timeout_ns", ctypes.c_uint64),
    ]


class Event(NamedTuple):
    """One record of 64 bytes, as `RECORD` unpacks it."""

    kind: int
    flags: int
    arg: int
    xid: int
    token: int
    error: int
    os_errno: int
    data: int
    len: int
    obj: int
    aux: int

    def bytes(self) -> bytes:
        return ctypes.string_at(self.data, self.len) if self.len else b""


RECORD = struct.Struct("=HHIQQiiQQQQ")


def load() -> ctypes.CDLL:
    lib = ctypes.CDLL(os.environ.get("CHTTPCORE_LIBRARY", str(BUILD / "lib" / "libchttpcore.so")))
    i32, u32, u64, size, pointer = ctypes.c_int32, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p
    text, out = ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "struct_size": (size, [u32]),
        "version_string": (text, []),
        "config_new": (i32, [out]),
        "config_free": (None, [pointer]),
        "config_set_i64": (i32, [pointer, u32, ctypes.c_int64, out]),
        "config_set_named": (i32, [pointer, text, size, text, size, out]),
        "engine_new": (i32, [pointer, out, out]),
        "engine_destroy": (i32, [pointer]),
        "queue_new": (i32, [pointer, out]),
        "queue_fd": (i32, [pointer]),
        "queue_drain": (i32, [pointer, pointer, u32, size]),
        "queue_destroy": (None, [pointer]),
        "events_release": (i32, [pointer, u32, size]),
        "release": (None, [pointer]),
        "submit": (i32, [pointer, pointer, pointer, u32, size, ctypes.POINTER(u64), out]),
        "cancel": (i32, [pointer, u64]),
        "body_write": (i32, [pointer, u64, text, size]),
        "body_end": (i32, [pointer, u64, pointer, size, out]),
        "perform": (i32, [pointer, pointer, u64, out, out]),
        "response_status": (i32, [pointer]),
        "response_header": (i32, [pointer, text, size, ctypes.POINTER(Field)]),
        "response_body": (i32, [pointer, out, ctypes.POINTER(size)]),
        "error_name": (text, [i32]),
        "error_at": (i32, [u32]),
        "error_category": (text, [i32]),
        "error_code": (i32, [pointer]),
        "error_message": (i32, [pointer, text, size]),
        "error_is_retryable": (i32, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, f"chttp_{name}")
        function.restype, function.argtypes = result, arguments
    return lib


LIB = load()
# A binding makes its exceptions from this table; here it names codes.
CODES: dict[str, int] = {}
while code := LIB.chttp_error_at(len(CODES)):
    CODES[LIB.chttp_error_name(code).decode()] = code


class Failed(Exception):
    """A call that was refused, with the message of its error object."""

    def __init__(self, code: int, message: str, retryable: bool) -> None:
        super().__init__(message)
        self.code, self.message, self.retryable = code, message, retryable


def failed(code: int, error: int | None) -> Failed:
    """Make an exception of an error object, which stays the caller's."""
    if not error:
        return Failed(code, LIB.chttp_error_name(code).decode(), False)
    needed = LIB.chttp_error_message(error, None, 0)
    text = ctypes.create_string_buffer(needed + 1)
    assert LIB.chttp_error_message(error, text, needed + 1) == needed
    assert LIB.chttp_error_code(error) == code
    return Failed(code, text.value.decode(), LIB.chttp_error_is_retryable(error) == 1)


def call(function: Callable[..., int], *arguments: object) -> int:
    """Call a function whose last parameter receives an error object."""
    error = ctypes.c_void_p()
    code = function(*arguments, ctypes.byref(error))
    if code < 0:
        exception = failed(code, error.value)
        LIB.chttp_release(error)
        raise exception
    return code


class Client:
    """An engine and a queue; events are decoded from the caller's memory in batches."""

    def __init__(self, io_threads: int, **options: int) -> None:
        config, self.engine, self.queue = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        assert LIB.chttp_config_new(ctypes.byref(config)) == 0
        call(LIB.chttp_config_set_i64, config, OPT_IO_THREADS, io_threads)
        for name, value in options.items():
            text = str(value).encode()
            call(LIB.chttp_config_set_named, config, name.encode(), len(name), text, len(text))
        call(LIB.chttp_engine_new, config, ctypes.byref(self.engine))
        LIB.chttp_config_free(config)
        assert LIB.chttp_queue_new(self.engine, ctypes.byref(self.queue)) == 0
        self.fd: int = LIB.chttp_queue_fd(self.queue)
        self.buffer = ctypes.create_string_buffer(BATCH * RECORD.size)

    def close(self) -> None:
        assert LIB.chttp_engine_destroy(self.engine) == 0
        LIB.chttp_queue_destroy(self.queue)

    def submit(self, requests: list[Request]) -> list[int]:
        array, xids = (Request * len(requests))(*requests), (ctypes.c_uint64 * len(requests))()
        call(LIB.chttp_submit, self.engine, self.queue, array, len(requests), ctypes.sizeof(Request), xids)
        return list(xids)

    def drain(self, handle: Callable[[Event], None]) -> int:
        n = LIB.chttp_queue_drain(self.queue, self.buffer, BATCH, RECORD.size)
        assert n >= 0
        for record in RECORD.iter_unpack(memoryview(self.buffer)[: n * RECORD.size]):
            handle(Event._make(record))
        assert LIB.chttp_events_release(self.buffer, n, RECORD.size) == 0
        return int(n)


def request(url: str, method: str = "GET", flags: int = 0, **rest: Any) -> Request:
    where, how = url.encode(), method.encode()
    return Request(
        size=ctypes.sizeof(Request), flags=flags, url=where, url_len=len(where), method=how, method_len=len(how), **rest
    )


class Handler(BaseHTTPRequestHandler):
    """`/N` answers N bytes; a POST answers length and sum of its body."""

    protocol_version = "HTTP/1.1"

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Test", "a value")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer(b"x" * int(self.path[1:]))

    def do_POST(self) -> None:
        total = count = 0
        for piece in self.pieces():
            count += len(piece)
            total += sum(piece)
        self.answer(f"{count} {total}".encode())

    def pieces(self) -> list[bytes]:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return [self.rfile.read(int(self.headers["Content-Length"]))]
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return pieces

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    # http.server writes head and body apart; the delayed acknowledgement of the first would cost 40 ms for each answer.
    disable_nagle_algorithm = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A cancelled exchange resets its connection, which is no news."""


class CtypesTest(unittest.TestCase):
    server: Server
    thread: threading.Thread

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server(("127.0.0.1", 0), Handler)
        cls.thread = threading.Thread(target=cls.server.serve_forever)
        cls.thread.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.shutdown()
        cls.thread.join()
        cls.server.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def client(self, io_threads: int, **options: int) -> Client:
        client = Client(io_threads, **options)
        self.addCleanup(client.close)
        return client

    def finish(self, client: Client, handle: Callable[[Event], None], count: int = 1) -> None:
        """Poll and drain until so many exchanges have ended."""
        left = count

        def one(event: Event) -> None:
            nonlocal left
            left -= event.flags & EF_TERMINAL
            handle(event)

        poll = select.poll()
        poll.register(client.fd, select.POLLIN)
        while left:
            self.assertEqual(poll.poll(60_000), [(client.fd, select.POLLIN)])
            client.drain(one)

    def test_layout(self) -> None:
        sizes = [LIB.chttp_struct_size(n) for n in range(4)]
        self.assertEqual(sizes, [0, RECORD.size, ctypes.sizeof(Field), ctypes.sizeof(Request)])
        self.assertEqual(len(LIB.chttp_version_string().split(b".")), 3)

    def test_error_table(self) -> None:
        self.assertIn("CHTTP_E_CANCELLED", CODES)
        self.assertEqual(len(set(CODES.values())), len(CODES))
        for code in CODES.values():
            self.assertTrue(LIB.chttp_error_category(code))
        self.assertIsNone(LIB.chttp_error_name(-1))

    def test_poll_and_drain(self) -> None:
        for io_threads in (0, 1):
            with self.subTest(io_threads=io_threads):
                client, bodies, order = self.client(io_threads), dict[int, bytes](), list[int]()

                def handle(
                    event: Event, bodies: dict[int, bytes] = bodies, order: list[int] = order, client: Client = client
                ) -> None:
                    order.append(event.kind)
                    bodies[event.token] = bodies.get(event.token, b"") + event.bytes()
                    self.assertEqual(event.error, 0)

                client.submit([request(self.url(f"/{n}"), flags=REQ_COLLECT, token=n) for n in range(100)])
                self.finish(client, handle, 100)
                self.assertEqual(bodies, {n: b"x" * n for n in range(100)})
                self.assertEqual(set(order), {EV_RESPONSE})

                bodies.clear()
                order.clear()
                client.submit([request(self.url("/3000000"), token=7)])
                self.finish(client, handle)
                self.assertEqual(bodies, {7: b"x" * 3_000_000})
                self.assertEqual((order[0], order[-1], set(order[1:-1])), (EV_HEADERS, EV_DONE, {EV_BODY}))

    def test_asyncio(self) -> None:
        async def run(io_threads: int) -> list[tuple[int, int]]:
            client = self.client(io_threads)
            loop = asyncio.get_running_loop()
            waiting: dict[int, asyncio.Future[tuple[int, int]]] = {}

            def handle(event: Event) -> None:
                if event.flags & EF_TERMINAL:
                    waiting.pop(event.token).set_result((event.arg, len(event.bytes())))

            async def fetch(n: int) -> tuple[int, int]:
                answer: asyncio.Future[tuple[int, int]] = loop.create_future()
                waiting[n] = answer
                client.submit([request(self.url(f"/{n}"), flags=REQ_COLLECT, token=n)])
                return await answer

            loop.add_reader(client.fd, client.drain, handle)
            try:
                return await asyncio.wait_for(asyncio.gather(*map(fetch, range(200))), 60)
            finally:
                loop.remove_reader(client.fd)

        for io_threads in (0, 1):
            with self.subTest(io_threads=io_threads):
                self.assertEqual(asyncio.run(run(io_threads)), [(200, n) for n in range(200)])

    def test_errors(self) -> None:
        client = self.client(0)
        for bad, name in (("ftp://x/", "UNSUPPORTED_SCHEME"), ("http://", "INVALID_URL")):
            with self.assertRaises(Failed) as refusal:
                client.submit([request(self.url("/1")), request(bad)])
            self.assertEqual(refusal.exception.code, CODES[f"CHTTP_E_{name}"])
            self.assertIn("request 1: url", refusal.exception.message)
        with self.assertRaises(Failed) as refusal:
            Client(0, no_such_option=1)
        self.assertEqual(refusal.exception.code, CODES["CHTTP_E_UNKNOWN_OPTION"])

        # A port that was free a moment ago, and a request that nobody will answer.
        gone = Server(("127.0.0.1", 0), Handler)
        gone.server_close()
        failures: list[Failed] = []

        def handle(event: Event) -> None:
            if event.error:
                failures.append(failed(event.error, event.obj))

        client.submit([request(f"http://127.0.0.1:{gone.server_port}/")])
        self.finish(client, handle)
        self.assertEqual(failures[0].code, CODES["CHTTP_E_CONNECT_REFUSED"])
        self.assertTrue(failures[0].retryable)

        [xid] = client.submit([request(self.url("/"), "POST", REQ_STREAM_BODY, body_len=LENGTH_UNKNOWN)])
        self.assertEqual(LIB.chttp_cancel(client.engine, xid), 0)
        self.finish(client, handle)
        self.assertEqual(failures[1].code, CODES["CHTTP_E_CANCELLED"])
        self.assertEqual(LIB.chttp_cancel(client.engine, xid), CODES["CHTTP_E_NOT_FOUND"])

    def test_perform(self) -> None:
        for io_threads in (0, 1):
            with self.subTest(io_threads=io_threads):
                client, response = self.client(io_threads), ctypes.c_void_p()
                block = b"Accept: */*\r\nX-Two: 1\r\n"
                wanted = request(self.url("/5"), header_block=block, header_block_len=len(block))
                call(LIB.chttp_perform, client.engine, ctypes.byref(wanted), UNLIMITED, ctypes.byref(response))
                field, data, size = Field(), ctypes.c_void_p(), ctypes.c_size_t()
                self.assertEqual(LIB.chttp_response_status(response), 200)
                self.assertGreaterEqual(LIB.chttp_response_header(response, b"x-test", 6, ctypes.byref(field)), 0)
                self.assertEqual(ctypes.string_at(field.value, field.value_len), b"a value")
                self.assertEqual(LIB.chttp_response_body(response, ctypes.byref(data), ctypes.byref(size)), 0)
                self.assertEqual(ctypes.string_at(data.value or 0, size.value), b"xxxxx")
                LIB.chttp_release(response)

    def test_uploads(self) -> None:
        contents = bytes(range(256)) * 4096
        expected = f"{len(contents)} {sum(contents)}".encode()
        for io_threads in (0, 1):
            client = self.client(io_threads, send_buffer=65536)
            with self.subTest(io_threads=io_threads, body="borrowed"):
                kinds: list[int] = []
                bodies: list[bytes] = []

                def borrowed(event: Event, kinds: list[int] = kinds, bodies: list[bytes] = bodies) -> None:
                    kinds.append(event.kind)
                    bodies.append(event.bytes())

                client.submit([request(self.url("/"), "POST", REQ_COLLECT, body=contents, body_len=len(contents))])
                self.finish(client, borrowed)
                self.assertEqual((kinds, bodies[-1]), ([EV_WRITE_DONE, EV_RESPONSE], expected))
            for length in (len(contents), LENGTH_UNKNOWN):
                with self.subTest(io_threads=io_threads, length=length):
                    self.stream(client, contents, length, expected)

    def stream(self, client: Client, contents: bytes, length: int, expected: bytes) -> None:
        pieces = [contents[at : at + 10_000] for at in range(0, len(contents), 10_000)]
        again = 0
        answer: list[bytes] = []

        def write() -> None:
            nonlocal again
            while pieces:
                code = LIB.chttp_body_write(client.engine, xid, pieces[0], len(pieces[0]))
                if code == CODES["CHTTP_E_AGAIN"]:
                    again += 1
                    return
                self.assertEqual(code, 0)
                pieces.pop(0)
            call(LIB.chttp_body_end, client.engine, xid, None, 0)

        def handle(event: Event) -> None:
            if event.kind == EV_WRITABLE:
                write()
            elif event.flags & EF_TERMINAL:
                answer.append(event.bytes())

        [xid] = client.submit([request(self.url("/"), "POST", REQ_STREAM_BODY | REQ_COLLECT, body_len=length)])
        write()
        self.finish(client, handle)
        self.assertEqual(answer, [expected])
        self.assertEqual(pieces, [])


if __name__ == "__main__":
    unittest.main()
