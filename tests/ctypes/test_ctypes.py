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
OPT_IO_THREADS, OPT_SEND_BUFFER, OPT_LOG, OPT_LOG_LEVEL, OPT_BACKEND = 1, 15, 56, 57, 59
NOTIFY_EVENTFD, NOTIFY_PIPE, NOTIFY_USER = 1, 2, 3
REUSE_PREPARED = 2
MOCK_EXPECT_HEAD, MOCK_SEND, MOCK_DELAY, MOCK_TLS, MOCK_CLOSED = 2, 5, 6, 16, 1
MOCK_DONE, MOCK_SECURED = 1, 4
OPT_TLS_CA_PEM = 29
LOG_INFO = 3
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
        ("tls_timeout_ns", ctypes.c_uint64),
        ("tls", ctypes.c_void_p),
        ("connect_to", ctypes.c_char_p),
        ("connect_to_len", ctypes.c_size_t),
        ("local_address", ctypes.c_char_p),
        ("local_address_len", ctypes.c_size_t),
        ("interface", ctypes.c_char_p),
        ("interface_len", ctypes.c_size_t),
        ("protocol", ctypes.c_char_p),
        ("protocol_len", ctypes.c_size_t),
        ("websocket", ctypes.c_void_p),
        ("sse", ctypes.c_void_p),
    ]


class Option(ctypes.Structure):
    _fields_ = [
        ("id", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
        ("unit", ctypes.c_char_p),
        ("default_value", ctypes.c_int64),
        ("min", ctypes.c_int64),
        ("max", ctypes.c_int64),
        ("unlimited", ctypes.c_uint32),
        ("since", ctypes.c_uint32),
        ("doc", ctypes.c_char_p),
    ]


class Stats(ctypes.Structure):
    """The first fields alone: the size says so."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("submitted", ctypes.c_uint64),
        ("succeeded", ctypes.c_uint64),
        ("failed", ctypes.c_uint64),
        ("cancelled", ctypes.c_uint64),
        ("retried", ctypes.c_uint64),
        ("connections_opened", ctypes.c_uint64),
        ("connections_reused", ctypes.c_uint64),
        ("connect_failures", ctypes.c_uint64),
        ("exchanges", ctypes.c_uint64),
        ("connections", ctypes.c_uint64),
        ("connections_idle", ctypes.c_uint64),
        ("waiting", ctypes.c_uint64),
    ]


class LogRecord(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("level", ctypes.c_uint32),
        ("time_ns", ctypes.c_uint64),
        ("xid", ctypes.c_uint64),
        ("text", ctypes.POINTER(ctypes.c_char)),
        ("text_len", ctypes.c_size_t),
    ]


class MockStep(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("data", ctypes.c_char_p),
        ("len", ctypes.c_size_t),
        ("number", ctypes.c_uint64),
    ]


class MockRecord(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("sent", ctypes.c_uint64),
        ("unread", ctypes.c_uint64),
        ("closed", ctypes.c_uint32),
        ("step", ctypes.c_uint32),
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


EventsFn = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_size_t, ctypes.c_void_p)
LogFn = ctypes.CFUNCTYPE(None, ctypes.POINTER(LogRecord), ctypes.c_void_p)
# Result and arguments of each function of the header, by its name without the prefix.
SIGNATURES: dict[str, tuple[Any, list[Any]]] = {}


def load() -> ctypes.CDLL:
    lib = ctypes.CDLL(os.environ.get("CHTTPCORE_LIBRARY", str(BUILD / "lib" / "libchttpcore.so")))
    i32, u32, u64, size, pointer = ctypes.c_int32, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p
    text, out = ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)
    number, wide = ctypes.POINTER(size), ctypes.POINTER(u64)
    written = [pointer, text, size]
    SIGNATURES.update({
        "body_end": (i32, [pointer, u64, pointer, size, out]),
        "body_write": (i32, [pointer, u64, text, size]),
        "cancel": (i32, [pointer, u64]),
        "config_free": (None, [pointer]),
        "config_new": (i32, [out]),
        "config_set_bytes": (i32, [pointer, u32, text, size, out]),
        "config_set_fn": (i32, [pointer, u32, pointer, pointer, out]),
        "config_set_i64": (i32, [pointer, u32, ctypes.c_int64, out]),
        "config_set_log": (i32, [pointer, u32, LogFn, pointer, out]),
        "config_set_named": (i32, [pointer, text, size, text, size, out]),
        "config_set_obj": (i32, [pointer, u32, pointer, out]),
        "config_set_str": (i32, [pointer, u32, text, size, out]),
        "engine_destroy": (i32, [pointer]),
        "engine_log_to": (i32, [pointer, pointer, u32]),
        "engine_new": (i32, [pointer, out, out]),
        "engine_preconnect": (i32, [pointer, pointer, u32, out]),
        "engine_release": (i32, [pointer]),
        "engine_reset_after_fork": (i32, [pointer, pointer]),
        "engine_stats": (i32, [pointer, pointer, size]),
        "error_at": (i32, [u32]),
        "error_attempt": (i32, [pointer]),
        "error_category": (text, [i32]),
        "error_code": (i32, [pointer]),
        "error_connection_reused": (i32, [pointer]),
        "error_describe": (text, [i32]),
        "error_is_retryable": (i32, [pointer]),
        "error_message": (i32, written),
        "error_name": (text, [i32]),
        "error_native": (i32, [pointer]),
        "error_os_errno": (i32, [pointer]),
        "error_peer": (i32, written),
        "error_phase": (i32, [pointer]),
        "error_request_bytes_sent": (u64, [pointer]),
        "events_release": (i32, [pointer, u32, size]),
        "mock_advance": (i32, [pointer, u64]),
        "mock_connection": (i32, [pointer, u32, pointer, size]),
        "mock_connection_count": (i32, [pointer]),
        "mock_extend": (i32, [pointer, u32, pointer, size, out]),
        "mock_listen": (i32, [pointer, text, size, pointer, size, u32, out]),
        "mock_authority": (i32, written),
        "mock_mismatches": (i32, written),
        "mock_new": (i32, [out, out]),
        "mock_next_event": (i32, [pointer, wide]),
        "mock_now": (u64, [pointer]),
        "mock_resolve": (i32, [pointer, text, size, text, size, out]),
        "mock_sent": (i32, [pointer, u32, text, size, number]),
        "option_count": (u32, []),
        "option_describe": (i32, [u32, pointer, size]),
        "perform": (i32, [pointer, pointer, u64, out, out]),
        "queue_destroy": (i32, [pointer]),
        "queue_dispatch": (i32, [pointer, u32, EventsFn, pointer]),
        "queue_drain": (i32, [pointer, pointer, u32, size]),
        "queue_fd": (i32, [pointer]),
        "queue_new": (i32, [pointer, out]),
        "queue_new_callback": (i32, [pointer, EventsFn, pointer, text, size, out, out]),
        "queue_new_kind": (i32, [pointer, u32, i32, text, size, out, out]),
        "queue_post": (i32, [pointer, u64, u64]),
        "queue_run": (i32, [pointer, u32, EventsFn, pointer]),
        "queue_stop": (i32, [pointer]),
        "queue_wait": (i32, [pointer, pointer, u32, size, u64]),
        "queue_wakeup": (i32, [pointer]),
        "release": (None, [pointer]),
        "response_attempt": (i32, [pointer]),
        "response_body": (i32, [pointer, out, number]),
        "response_connection_reason": (i32, [pointer]),
        "response_connection_reused": (i32, [pointer]),
        "response_content_length": (ctypes.c_int64, [pointer]),
        "response_header": (i32, [pointer, text, size, ctypes.POINTER(Field)]),
        "response_header_at": (i32, [pointer, u32, ctypes.POINTER(Field)]),
        "response_header_count": (i32, [pointer]),
        "response_local": (i32, written),
        "response_peer": (i32, written),
        "response_reason": (i32, written),
        "response_status": (i32, [pointer]),
        "response_timing": (i32, [pointer, pointer, size]),
        "response_tls": (i32, [pointer, pointer, size]),
        "response_version": (i32, [pointer]),
        "retain": (None, [pointer]),
        "sse_fields": (i32, [pointer, pointer, size]),
        "stream_alpn": (i32, [pointer, out, number]),
        "stream_certificate": (i32, [pointer, u32, out, number]),
        "stream_fd": (i32, [pointer, u64]),
        "stream_start_tls": (i32, [pointer, u64, pointer, text, size, out]),
        "struct_size": (size, [u32]),
        "submit": (i32, [pointer, pointer, pointer, u32, size, wide, out]),
        "submit_packed": (i32, [pointer]),
        "timer_restart": (i32, [pointer, u64, u64, u64, out]),
        "timer_start": (i32, [pointer, pointer, u64, u64, u64, wide, out]),
        "tls_new": (i32, [pointer, out, out]),
        "tls_release": (None, [pointer]),
        "version": (u32, []),
        "version_string": (text, []),
        "watch_fd": (i32, [pointer, pointer, i32, u32, u64, wide, out]),
        "watch_modify": (i32, [pointer, u64, u32, out]),
        "ws_close": (i32, [pointer, u64, u32, text, size, out]),
        "ws_ping": (i32, [pointer, u64, text, size]),
        "ws_pong": (i32, [pointer, u64, text, size]),
        "ws_send": (i32, [pointer, u64, u32, u32, text, size]),
    })
    for name, (result, arguments) in SIGNATURES.items():
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
        self.assertEqual(LIB.chttp_struct_size(6), ctypes.sizeof(Option))
        self.assertGreaterEqual(LIB.chttp_struct_size(5), ctypes.sizeof(Stats))
        self.assertEqual(LIB.chttp_struct_size(8), ctypes.sizeof(MockStep))
        self.assertEqual(LIB.chttp_struct_size(9), ctypes.sizeof(MockRecord))
        self.assertEqual(len(LIB.chttp_version_string().split(b".")), 3)

    def test_every_function_has_a_signature(self) -> None:
        golden = Path(__file__).resolve().parents[1] / "abi" / "symbols.golden"
        names = {line.split("@")[0].removeprefix("chttp_") for line in golden.read_text().split()}
        self.assertEqual(set(SIGNATURES), names)

    def test_options(self) -> None:
        options = []
        for index in range(LIB.chttp_option_count()):
            option = Option()
            self.assertEqual(LIB.chttp_option_describe(index, ctypes.byref(option), ctypes.sizeof(option)), 0)
            options.append(option)
        ids = [option.id for option in options]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual({option.kind for option in options}, {1, 2, 3, 4, 5})
        self.assertTrue(all(option.name and option.doc for option in options))

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

    def test_dispatch(self) -> None:
        for io_threads in (0, 1):
            with self.subTest(io_threads=io_threads):
                client, seen = self.client(io_threads), list[tuple[int, int, int, bytes, int]]()

                # An exception would not get out of here.
                def on_events(events: int, n: int, stride: int, user: int, seen: Any = seen) -> None:
                    for record in RECORD.iter_unpack(ctypes.string_at(events, n * stride)):
                        event = Event._make(record)
                        seen.append((event.token, stride, event.kind, event.bytes(), user))

                function = EventsFn(on_events)
                client.submit([request(self.url("/3"), flags=REQ_COLLECT, token=n) for n in range(20)])
                poll = select.poll()
                poll.register(client.fd, select.POLLIN)
                while len(seen) < 20:
                    self.assertEqual(poll.poll(60_000), [(client.fd, select.POLLIN)])
                    self.assertGreaterEqual(LIB.chttp_queue_dispatch(client.queue, 1 << 30, function, 7), 0)
                self.assertEqual(sorted(seen), [(n, RECORD.size, EV_RESPONSE, b"xxx", 7) for n in range(20)])

    def test_kinds_of_queues(self) -> None:
        ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.addCleanup(os.close, ours)
        for kind in (NOTIFY_EVENTFD, NOTIFY_PIPE, NOTIFY_USER):
            with self.subTest(kind=kind):
                client, queue = self.client(1), ctypes.c_void_p()
                call(LIB.chttp_queue_new_kind, client.engine, kind, theirs, b"!", 1, ctypes.byref(queue))
                fd = LIB.chttp_queue_fd(queue)
                if kind == NOTIFY_USER:
                    self.assertEqual(fd, CODES["CHTTP_E_BAD_STATE"])
                    fd = ours
                client.submit([request(self.url("/1"), flags=REQ_COLLECT)])  # to another queue
                LIB.chttp_queue_destroy(client.queue)
                client.queue, client.fd = queue, fd
                client.submit([request(self.url("/2"), flags=REQ_COLLECT, token=2)])
                bodies: list[bytes] = []

                def handle(event: Event, bodies: list[bytes] = bodies) -> None:
                    bodies.append(event.bytes())

                self.finish(client, handle)
                self.assertEqual(bodies, [b"xx"])
        os.close(theirs)

    def test_preconnect(self) -> None:
        for io_threads in (0, 1):
            with self.subTest(io_threads=io_threads):
                client, stats, response = self.client(io_threads), Stats(), ctypes.c_void_p()
                wanted = request(self.url("/1"))
                call(LIB.chttp_engine_preconnect, client.engine, ctypes.byref(wanted), 2)
                while stats.connections_idle < 2:
                    self.assertEqual(LIB.chttp_queue_wait(client.queue, client.buffer, BATCH, 0, 1_000_000), 0)
                    size = ctypes.sizeof(stats)
                    self.assertEqual(LIB.chttp_engine_stats(client.engine, ctypes.byref(stats), size), 0)
                call(LIB.chttp_perform, client.engine, ctypes.byref(wanted), UNLIMITED, ctypes.byref(response))
                self.assertEqual(LIB.chttp_response_connection_reason(response), REUSE_PREPARED)
                self.assertEqual(LIB.chttp_response_connection_reused(response), 0)
                LIB.chttp_release(response)

    def test_mock(self) -> None:
        """A unit test without a network: a slow answer, and the time it took without taking any."""
        mock, config, engine = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        call(LIB.chttp_mock_new, ctypes.byref(mock))
        self.assertEqual(LIB.chttp_config_new(ctypes.byref(config)), 0)
        call(LIB.chttp_config_set_i64, config, OPT_IO_THREADS, 0)
        call(LIB.chttp_config_set_obj, config, OPT_BACKEND, mock)
        call(LIB.chttp_engine_new, config, ctypes.byref(engine))
        LIB.chttp_config_free(config)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
        steps = (MockStep * 3)(
            MockStep(kind=MOCK_EXPECT_HEAD),
            MockStep(kind=MOCK_DELAY, number=3600 * 10**9),
            MockStep(kind=MOCK_SEND, data=answer, len=len(answer), number=1),
        )
        call(LIB.chttp_mock_resolve, mock, b"service.test", 12, b"192.0.2.1", 9)
        call(LIB.chttp_mock_listen, mock, b"192.0.2.1:80", 12, steps, len(steps), 0)
        before, response = LIB.chttp_mock_now(mock), ctypes.c_void_p()
        wanted = request("http://service.test/a", read_timeout_ns=UNLIMITED)
        call(LIB.chttp_perform, engine, ctypes.byref(wanted), UNLIMITED, ctypes.byref(response))
        self.assertEqual(LIB.chttp_response_status(response), 200)
        LIB.chttp_release(response)
        self.assertEqual(LIB.chttp_mock_now(mock) - before, 3600 * 10**9)
        with self.assertRaisesRegex(Failed, "refused"):
            call(LIB.chttp_perform, engine, ctypes.byref(request("http://[::1]/")), UNLIMITED, ctypes.byref(response))
        self.assertEqual(LIB.chttp_engine_destroy(engine), 0)
        self.assertEqual(LIB.chttp_mock_connection_count(mock), 2)
        record, buffer, sent = MockRecord(), ctypes.create_string_buffer(256), ctypes.c_size_t()
        self.assertEqual(LIB.chttp_mock_connection(mock, 0, ctypes.byref(record), ctypes.sizeof(record)), 0)
        self.assertEqual(LIB.chttp_mock_sent(mock, 0, buffer, len(buffer), ctypes.byref(sent)), 0)
        self.assertEqual(buffer.raw[: sent.value], b"GET /a HTTP/1.1\r\nHost: service.test\r\n\r\n")
        self.assertEqual((record.sent, record.unread, record.closed), (sent.value, 0, MOCK_CLOSED))
        self.assertEqual(LIB.chttp_mock_mismatches(mock, None, 0), 0)
        LIB.chttp_release(mock)

    def test_mock_tls(self) -> None:
        """The same over TLS, with the certificate of the mock's own authority."""
        mock, config, engine, response = (ctypes.c_void_p() for _ in range(4))
        call(LIB.chttp_mock_new, ctypes.byref(mock))
        pem = ctypes.create_string_buffer(LIB.chttp_mock_authority(mock, None, 0) + 1)
        self.assertEqual(LIB.chttp_mock_authority(mock, pem, len(pem)), len(pem.value))
        self.assertEqual(LIB.chttp_config_new(ctypes.byref(config)), 0)
        call(LIB.chttp_config_set_i64, config, OPT_IO_THREADS, 0)
        call(LIB.chttp_config_set_obj, config, OPT_BACKEND, mock)
        call(LIB.chttp_config_set_bytes, config, OPT_TLS_CA_PEM, pem.value, len(pem.value))
        call(LIB.chttp_engine_new, config, ctypes.byref(engine))
        LIB.chttp_config_free(config)
        answer = b"HTTP/1.1 204 No Content\r\n\r\n"
        steps = (MockStep * 3)(
            MockStep(kind=MOCK_TLS),
            MockStep(kind=MOCK_EXPECT_HEAD),
            MockStep(kind=MOCK_SEND, data=answer, len=len(answer)),
        )
        call(LIB.chttp_mock_resolve, mock, b"service.test", 12, b"192.0.2.1", 9)
        call(LIB.chttp_mock_listen, mock, b"192.0.2.1:443", 13, steps, len(steps), 0)
        wanted = request("https://service.test/a")
        call(LIB.chttp_perform, engine, ctypes.byref(wanted), UNLIMITED, ctypes.byref(response))
        self.assertEqual(LIB.chttp_response_status(response), 204)
        LIB.chttp_release(response)
        record = MockRecord()
        self.assertEqual(LIB.chttp_mock_connection(mock, 0, ctypes.byref(record), ctypes.sizeof(record)), 0)
        self.assertEqual(record.flags, MOCK_DONE | MOCK_SECURED)
        self.assertEqual(LIB.chttp_engine_destroy(engine), 0)
        LIB.chttp_release(mock)

    def test_log(self) -> None:
        lines: list[str] = []
        sizes = set[tuple[int, int]]()

        def take(record: Any, user: int) -> None:
            line = record.contents
            sizes.add((line.size, user))
            lines.append(ctypes.string_at(line.text, line.text_len).decode())

        on_line = LogFn(take)
        for way in ("call", "options"):
            with self.subTest(way=way):
                lines.clear()
                config, engine, response = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
                self.assertEqual(LIB.chttp_config_new(ctypes.byref(config)), 0)
                if way == "call":
                    call(LIB.chttp_config_set_log, config, LOG_INFO, on_line, 9)
                else:
                    call(LIB.chttp_config_set_fn, config, OPT_LOG, ctypes.cast(on_line, ctypes.c_void_p), 9)
                    call(LIB.chttp_config_set_i64, config, OPT_LOG_LEVEL, LOG_INFO)
                call(LIB.chttp_engine_new, config, ctypes.byref(engine))
                LIB.chttp_config_free(config)
                wanted = request(self.url("/1"))
                call(LIB.chttp_perform, engine, ctypes.byref(wanted), UNLIMITED, ctypes.byref(response))
                LIB.chttp_release(response)
                self.assertEqual(LIB.chttp_engine_destroy(engine), 0)
                self.assertTrue(any("connected to 127.0.0.1:" in line for line in lines), lines)
                self.assertEqual(sizes, {(ctypes.sizeof(LogRecord), 9)})

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
