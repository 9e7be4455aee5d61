"""The program in examples/python does what its first comment says, and fails as it says."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Callable, ClassVar
from urllib.parse import parse_qs, urlsplit

from conftest import LONG, ROOT, Handler, Scripted, python

CERTIFICATES = ROOT / "examples" / "demo" / "tls"
PROGRAM = (ROOT / "examples" / "python" / "check_links.py").read_text()
ARCHIVE = bytes(range(256)) * 3000
PAGES = 40


class Service:
    """The service that the program asks, behind TLS, and what was asked of it."""

    def __init__(self, archive: str) -> None:
        self.archive = archive
        #: Connections that are closed before they are secured.
        self.drops = 0
        self.elsewhere: list[str] = []
        self.hangs = threading.Event()
        self.left = threading.Event()
        self.posted: dict[str, list[bytes]] = {}
        self.agents: set[str] = set()
        self.secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.secure.load_cert_chain(CERTIFICATES / "server.pem")

    def __call__(self, connection: socket.socket) -> None:
        if self.drops:
            self.drops -= 1
            return
        try:
            with self.secure.wrap_socket(connection, server_side=True) as secured:
                type("Asked", (Asked,), {"service": self})(secured, None, None)
        except ssl.SSLError:
            pass  # The client does not trust us, or has left.


class Asked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: ClassVar[Service]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
        pass

    def answer(self, body: bytes, status: int = 200, missing: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) + missing))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.close_connection or missing > 0

    def do_GET(self) -> None:
        service = self.service
        service.agents.add(self.headers["User-Agent"])
        path = urlsplit(self.path)
        if path.path == "/v1/links":
            page = int(parse_qs(path.query)["page"][0])
            here = f"https://{self.headers['Host']}"
            found = [f"{here}/page/{page}-{number}" for number in range(PAGES // 2)]
            found += service.elsewhere if page == 1 else [f"{here}/missing", "gopher://old.test/"]
            self.answer(json.dumps({"links": found, "more": page < 2}).encode())
        elif path.path == "/v1/archive":
            if service.archive == "refused":
                assert service.hangs.wait(LONG)
                self.answer(b"not today", 503)
            else:
                self.answer(ARCHIVE, missing=100 if service.archive == "cut" else 0)
        elif path.path == "/hang":
            service.hangs.set()
            try:
                gone = not self.rfile.read(1)
            except ConnectionError:
                gone = True
            if gone:
                service.left.set()
            self.close_connection = True
        else:
            self.answer(b"", 200 if path.path.startswith("/page/") else 404)

    def do_POST(self) -> None:
        body = [self.rfile.read(int(self.headers.get("Content-Length", 0)))]
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        self.service.posted[self.path] = body
        self.answer(b"".join(body))


def check_links(server: Scripted, target: Path, authorities: str = "ca.pem") -> subprocess.CompletedProcess[str]:
    base_url = server.url.replace("http://127.0.0.1", "https://localhost") + "/v1/"
    return python(PROGRAM, base_url, str(CERTIFICATES / authorities), str(target))


def test_all_is_checked_and_delivered(scripted: Callable[[Handler], Scripted], refusing: str, tmp_path: Path) -> None:
    service = Service("whole")
    service.drops = 1
    unreachable = f"http://{refusing}/"
    service.elsewhere = [unreachable]
    result = check_links(scripted(service), tmp_path / "archive")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        "archive": len(ARCHIVE),
        "verdicts": {"200": PAGES, "404": 1, "ConnectRefusedError": 1, "UnsupportedProtocol": 1},
    }
    assert (tmp_path / "archive").read_bytes() == ARCHIVE
    assert f"archive: {len(ARCHIVE)} of {len(ARCHIVE)} bytes" in result.stderr
    again = [line.rsplit(": ", 1)[1] for line in result.stderr.splitlines() if line.startswith("once more")]
    assert len(again) == 2 and again[0].endswith("/v1/links?page=1") and again[1] == unreachable, result.stderr
    assert json.loads(result.stdout) == json.loads(b"".join(service.posted["/v1/summary"]))
    lines = [json.loads(line) for line in b"".join(service.posted["/v1/results"]).splitlines()]
    assert len(lines) == PAGES + 3
    assert {"link": unreachable, "verdict": "ConnectRefusedError"} in lines
    assert service.agents == {"check-links/1"}


def test_a_failure_cancels_the_rest(scripted: Callable[[Handler], Scripted], tmp_path: Path) -> None:
    service = Service("refused")
    server = scripted(service)
    service.elsewhere = [server.url.replace("http://127.0.0.1", "https://localhost") + "/hang"]
    result = check_links(server, tmp_path / "archive")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("refused: 503 Service Unavailable for GET https://localhost:"), result.stderr
    assert service.left.wait(LONG)
    assert service.posted == {}


def test_an_answer_that_breaks_off_is_told(scripted: Callable[[Handler], Scripted], tmp_path: Path) -> None:
    service = Service("cut")
    server = scripted(service)
    result = check_links(server, tmp_path / "archive")
    assert (result.returncode, result.stdout) == (1, "")
    url = server.url.replace("http://127.0.0.1", "https://localhost") + "/v1/archive"
    assert f"TruncatedBodyError for GET {url}: " in result.stderr
    assert service.posted == {}


def test_a_stranger_is_not_asked_twice(scripted: Callable[[Handler], Scripted], tmp_path: Path) -> None:
    service = Service("whole")
    result = check_links(scripted(service), tmp_path / "archive", "stranger.pem")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("TLSCertUnknownCAError for GET https://localhost:"), result.stderr
    assert service.agents == set()
