"""The queue's descriptor in asyncio, by ctypes: asyncio_loop.py URL [COUNT [IO_THREADS [TIMEOUT_MS [TICK_MS]]]]

Particular here: add_reader() takes the number as it is; remove_reader() comes before the queue is destroyed. Only the
first fields of a request are declared: `size` says how many. It needs a library that the loader finds.
"""

import asyncio
import ctypes as c
import struct
import sys
from contextlib import closing

OPT_IO_THREADS, OPT_TOTAL_TIMEOUT_NS, REQ_COLLECT, EF_TERMINAL = 1, 5, 1, 1
EVENT = struct.Struct("=HHIQQiiQQQQ")  # kind, flags, arg, xid, token, error, os_errno, data, len, obj, aux
ZERO, NUL_TERMINATED = c.c_size_t(0), c.c_size_t(-1).value
lib = c.CDLL("libchttpcore.so.0")


class Request(c.Structure):
    _fields_ = [("size", c.c_uint32), ("flags", c.c_uint32), ("token", c.c_uint64)]
    _fields_ += [("url", c.c_char_p), ("url_len", c.c_size_t)]


def check(code: int) -> int:
    if code < 0:
        raise OSError(f"the library's code {code}")
    return code


class Client:
    def __init__(self, url: str, io_threads: int, timeout_ms: int) -> None:
        self.request = Request(c.sizeof(Request), REQ_COLLECT, 0, url.encode(), NUL_TERMINATED)
        self.events, self.slots, self.ticks = c.create_string_buffer(64 * EVENT.size), asyncio.Semaphore(4), 0
        self.waiting: dict[int, asyncio.Future[int]] = {}
        self.engine, self.queue, config = c.c_void_p(), c.c_void_p(), c.c_void_p()
        check(lib.chttp_config_new(c.byref(config)))
        for option, value in (OPT_IO_THREADS, io_threads), (OPT_TOTAL_TIMEOUT_NS, timeout_ms * 1_000_000):
            check(lib.chttp_config_set_i64(config, option, c.c_int64(value), None))
        check(lib.chttp_engine_new(config, c.byref(self.engine), None))
        check(lib.chttp_queue_new(self.engine, c.byref(self.queue)))
        lib.chttp_config_free(config)
        asyncio.get_running_loop().add_reader(lib.chttp_queue_fd(self.queue), self.on_readable)

    def on_readable(self) -> None:
        n = check(lib.chttp_queue_drain(self.queue, self.events, 64, ZERO))
        for _, flags, _, _, token, error, *_ in EVENT.iter_unpack(memoryview(self.events)[: n * EVENT.size]):
            if flags & EF_TERMINAL and not (future := self.waiting.pop(token)).cancelled():
                future.set_result(error)
        lib.chttp_events_release(self.events, n, ZERO)

    async def get(self) -> int:
        async with self.slots:
            self.request.token = token = self.request.token + 1
            code: int = lib.chttp_submit(self.engine, self.queue, c.byref(self.request), 1, ZERO, None, None)
            if code == 0:
                self.waiting[token] = asyncio.get_running_loop().create_future()
                code = await self.waiting[token]
            return code

    async def tick(self, seconds: float) -> None:
        while seconds > 0:
            await asyncio.sleep(seconds)
            self.ticks += 1

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(lib.chttp_queue_fd(self.queue))
        lib.chttp_queue_destroy(self.queue)
        lib.chttp_engine_destroy(self.engine)


async def main(url: str, count: int = 20, io_threads: int = 1, timeout_ms: int = 30000, tick_ms: int = 10) -> bool:
    with closing(Client(url, io_threads, timeout_ms)) as client:
        ticking = asyncio.create_task(client.tick(tick_ms / 1000))
        results = await asyncio.gather(*(client.get() for _ in range(count)))
        ticking.cancel()
    print(f"{results.count(0)} answers, {count - results.count(0)} errors, {client.ticks} ticks")
    return results.count(0) != count


sys.exit(asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:]))))
