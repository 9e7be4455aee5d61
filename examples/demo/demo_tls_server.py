"""The demo's server for https: prints "ports N M" and serves on 127.0.0.1 until its standard input, a pipe, ends.

The first port asks no client for a certificate, the second refuses clients without one of the demo's authority. The
name that a client asks for (SNI) chooses the certificate: expired.test, stranger.test, else the good one. Paths: "/" is
"hello", "/bytes/N" so many bytes, "/whoami" the name in the client's certificate.
"""

from __future__ import annotations

import select
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

CERTIFICATES = Path(__file__).parent / "tls"
LARGEST_HEAD = 65536


def context(certificate: str, client_needed: bool = False) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(CERTIFICATES / certificate)
    made.set_alpn_protocols(["http/1.1"])
    if client_needed:
        made.load_verify_locations(CERTIFICATES / "ca.pem")
        made.verify_mode = ssl.CERT_REQUIRED
    return made


OTHERS = {name: context(name.replace(".test", ".pem")) for name in ("expired.test", "stranger.test")}


def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    if name in OTHERS:
        connection.context = OTHERS[name]


def owner(sock: ssl.SSLSocket) -> str:
    """The common name in the client's certificate."""
    certificate: Any = sock.getpeercert() or {}  # its fields have various types
    fields = [field for part in certificate.get("subject", ()) for field in part]
    return str(dict(fields).get("commonName", "nobody"))


def answer(head: bytes, sock: ssl.SSLSocket) -> bytes:
    path = head.split(b" ", 2)[1].decode("latin-1")
    status, body = "200 OK", b"hello\n"
    if path.startswith("/bytes/"):
        body = b"x" * int(path.removeprefix("/bytes/"))
    elif path == "/whoami":
        body = f"{owner(sock)}\n".encode()
    elif path != "/":
        status, body = "404 Not Found", b"nothing here\n"
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Connection:
    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock
        self.secured = False
        self.head = b""
        self.out = b""
        self.last = False  # "Connection: close"
        self.waits = select.EPOLLIN

    def step(self) -> int:
        """Go on as far as the socket allows; returns what to wait for, or 0 at the end."""
        try:
            if not self.secured:
                self.sock.do_handshake()
                self.secured = True
            while True:
                if self.out:
                    self.out = self.out[self.sock.send(self.out) :]
                    continue
                if self.last:
                    self.sock.unwrap()
                    return 0
                received = self.sock.recv(LARGEST_HEAD)
                if not received or len(self.head) > LARGEST_HEAD:
                    return 0
                self.take(received)
                if not self.out and not self.sock.pending():
                    return select.EPOLLIN
        except ssl.SSLWantReadError:
            return 0 if self.last and not self.out else select.EPOLLIN
        except ssl.SSLWantWriteError:
            return select.EPOLLOUT
        except (OSError, ValueError, IndexError):  # a client that leaves, refuses us or talks nonsense
            return 0

    def take(self, received: bytes) -> None:
        self.head += received
        while not self.last and (end := self.head.find(b"\r\n\r\n")) >= 0:
            head, self.head = self.head[:end], self.head[end + 4 :]
            self.last = b"connection: close" in head.lower()
            self.out += answer(head, self.sock)


def main() -> None:
    epoll = select.epoll()
    listeners: dict[int, tuple[socket.socket, ssl.SSLContext]] = {}
    connections: dict[int, Connection] = {}
    for client_needed in (False, True):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setblocking(False)
        secure = context("server.pem", client_needed)
        secure.sni_callback = choose
        listeners[listener.fileno()] = (listener, secure)
        epoll.register(listener, select.EPOLLIN)
    epoll.register(sys.stdin, select.EPOLLIN)
    print("ports", *(listener.getsockname()[1] for listener, _ in listeners.values()), flush=True)

    while True:
        for fd, _ in epoll.poll():
            if fd == sys.stdin.fileno():
                return
            if fd in listeners:
                listener, secure = listeners[fd]
                try:
                    plain, _ = listener.accept()
                    plain.setblocking(False)
                    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sock = secure.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                except OSError:  # it has left again
                    continue
                connections[sock.fileno()] = Connection(sock)
                epoll.register(sock, select.EPOLLIN)
                continue
            connection = connections[fd]
            waits = connection.step()
            if not waits:
                epoll.unregister(fd)
                connections.pop(fd).sock.close()
            elif waits != connection.waits:
                connection.waits = waits
                epoll.modify(fd, waits)


main()
