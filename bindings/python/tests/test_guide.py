"""The programs of the documents run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import LONG, ROOT, TLSServers, python
from websocket_server import Peer

DOCUMENTS = ("docs/python-guide.md", "bindings/python/README.md", "README.md")
PROGRAMS = [
    pytest.param(block, id=f"{Path(name).stem}-{number}")
    for name in DOCUMENTS
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), flags=re.M | re.S))
]


@pytest.fixture(scope="module")
def websocket_url() -> Iterator[str]:
    """A server that speaks "chat" with who offers it."""
    peer = Peer(subprotocols=["chat"], select_subprotocol=lambda _, offered: "chat" if "chat" in offered else None)
    yield peer.url
    peer.stop()


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program: str, url: str, websocket_url: str, tls_servers: TLSServers, tmp_path: Path) -> None:
    for named, real in (
        ("ws://127.0.0.1:8001/", websocket_url),
        ("http://127.0.0.1:8000", url),
        ("127.0.0.1:8000", url.removeprefix("http://")),
        ('"127.0.0.1", 8000', f'"127.0.0.1", {url.rpartition(":")[2]}'),
        ('"localhost", 8443', f'"localhost", {tls_servers.plain}'),
        ("localhost:8443", f"localhost:{tls_servers.plain}"),
        ("localhost:8444", f"localhost:{tls_servers.mutual}"),
        ("https://example.com/", f"{url}/"),
    ):
        program = program.replace(named, real)
    # The server has no such field.
    program = program.replace('response.headers["content-type"]', 'response.headers["content-length"]')
    if "import trio" in program:
        pytest.importorskip("trio")
    (tmp_path / "upload.bin").write_bytes(b"x" * 100_000)
    for name in ("ca.pem", "client.pem"):
        shutil.copy(tls_servers.certificates / name, tmp_path)
    result = python(program, timeout=LONG, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, ""), program
    assert result.stdout or "print" not in program


def test_there_are_programs() -> None:
    assert len(PROGRAMS) >= 12
