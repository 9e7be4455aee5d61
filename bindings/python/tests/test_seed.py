"""The programs of the page that this package began with (seed/quick-start.md) run as they are written.

They speak with httpbin.org on ports 80 and 443. So they run where that is this machine: in a network of their own, with
a file of hosts of their own, which takes root. Nothing in the package knows of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import LONG, ROOT

PAGE = Path(__file__).parent / "seed" / "quick-start.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.M | re.S)

# Runs in the new namespaces: a server for one connection, which listens before the program begins.
INSIDE = """
import socket, ssl, subprocess, sys, threading

hosts, certificate, port, program = sys.argv[1:]
subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

BODY = b'{"url": "http://httpbin.org/get"}'
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n%b" % (len(BODY), BODY)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate)
context.set_alpn_protocols(["http/1.1"])

def serve(listener):
    connection, _ = listener.accept()
    if port == "443":
        connection = context.wrap_socket(connection, server_side=True)
    head = b""
    while not head.endswith(b"\\r\\n\\r\\n"):
        head += connection.recv(1) or sys.exit("no request")
    print(head.decode(), end="", flush=True)
    connection.sendall(ANSWER)
    while connection.recv(65536):
        pass

listener = socket.create_server(("127.0.0.1", int(port)))
server = threading.Thread(target=serve, args=(listener,), daemon=True)
server.start()
code = subprocess.run([sys.executable, "-W", "always", program]).returncode
if code == 0:
    server.join()
sys.exit(code)
"""

REQUEST = "GET /get HTTP/1.1\nHost: httpbin.org\nConnection: close\n\n"


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def authority(directory: Path) -> tuple[Path, Path]:
    """A new authority, and a certificate by it for httpbin.org with its key in one file."""
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    leaf, leaf_key = directory / "leaf.pem", directory / "leaf.key"
    request: list[str | Path] = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    openssl(*request, "-subj", "/CN=authority of a test", "-keyout", ca_key, "-out", ca)
    signed: list[str | Path] = [
        "-CA",
        ca,
        "-CAkey",
        ca_key,
        "-subj",
        "/CN=httpbin.org",
        "-addext",
        "basicConstraints=critical,CA:false",
    ]
    openssl(*request, *signed, "-addext", "subjectAltName=DNS:httpbin.org", "-keyout", leaf_key, "-out", leaf)
    with leaf.open("a") as file:
        file.write(leaf_key.read_text())
    return ca, leaf


def namespaces() -> None:
    """Skip where there are no namespaces to be had, which root always has."""
    tried = subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, text=True)
    if tried.returncode and os.geteuid() != 0:
        pytest.skip(f"the seed's programs need namespaces, which take root: {tried.stderr.strip()}")
    assert tried.returncode == 0, tried.stderr


def run(number: int, port: int, directory: Path, trusting: bool = True) -> subprocess.CompletedProcess[str]:
    namespaces()
    ca, certificate = authority(directory)
    hosts, program = directory / "hosts", directory / "program.py"
    hosts.write_text("127.0.0.1 localhost httpbin.org\n")
    program.write_text(PROGRAMS[number])
    command: list[str | Path] = [
        "unshare",
        "--mount",
        "--net",
        sys.executable,
        "-c",
        INSIDE,
        hosts,
        certificate,
        str(port),
        program,
    ]
    environment = {**os.environ, "SSL_CERT_FILE": str(ca if trusting else ROOT / "examples/demo/tls/ca.pem")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONG)


def test_the_page() -> None:
    assert len(PROGRAMS) == 3
    package = (ROOT / "bindings" / "python" / "c_http_core").rglob("*.py")
    assert not [path for path in package if "httpbin" in path.read_text()]


def test_basic_request(tmp_path: Path) -> None:
    ended = run(0, 80, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(REQUEST)
    received = re.search(r"^Received (\d+) bytes$", ended.stdout, flags=re.M)
    assert received is not None and int(received[1]) > 70


def test_tls(tmp_path: Path) -> None:
    ended = run(1, 443, tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, REQUEST, "")


def test_tls_without_trust(tmp_path: Path) -> None:
    """The same page for an authority that the program was not told to trust: no byte of the request is seen."""
    ended = run(1, 443, tmp_path, trusting=False)
    assert (ended.returncode, ended.stdout) == (1, "") and "TLSCertUnknownCAError" in ended.stderr


def test_mock() -> None:
    """It needs nothing at all."""
    command = [sys.executable, "-W", "always", "-c", PROGRAMS[2]]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LONG)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
