"""Connections without HTTP: backends that make streams, and a mock of them for tests.

    import asyncio
    from c_http_core.network import EpollNetworkBackend

    async def main():
        backend = EpollNetworkBackend()
        async with await backend.connect_tcp("127.0.0.1", 8000) as stream:
            await stream.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
            print(await stream.read())

    asyncio.run(main())

Times are seconds, and None is no limit. Failures are the exceptions of the package (`ConnectError`, `ReadTimeout` ...);
a stream that was closed raises `RuntimeError`.
"""

from ._backend import EpollNetworkBackend
from ._epoll import HAS_EPOLL
from ._interfaces import NetworkBackend, NetworkStream
from ._loop import EpollEventLoop, TimerHandle
from ._mock import MockNetworkBackend, MockNetworkStream
from ._stream import EpollNetworkStream, StreamSocket, StreamTLSInfo

__all__ = [
    "HAS_EPOLL",
    "EpollEventLoop",
    "EpollNetworkBackend",
    "EpollNetworkStream",
    "MockNetworkBackend",
    "MockNetworkStream",
    "NetworkBackend",
    "NetworkStream",
    "StreamSocket",
    "StreamTLSInfo",
    "TimerHandle",
]
