"""Streams over TLS, from the start or after a word in the clear."""

from __future__ import annotations

import socket
import ssl

import pytest

import c_http_core
from c_http_core import TLSContext, errors, network
from c_http_core.network import EpollNetworkBackend
from conftest import Run
from network_servers import (
    BULK,
    CA,
    CERTIFICATES,
    Start,
    echo,
    port_of,
    read_exactly,
    secured_echo,
    settled,
    together,
)

pytestmark = pytest.mark.usefixtures("no_word")


def certificate_of(name: str) -> str:
    text = (CERTIFICATES / name).read_text()
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return begin + text.split(begin)[1].split(end)[0] + end


@pytest.mark.parametrize("new", [True, False], ids=["connect_tls", "start_tls"])
def test_tls(scripted: Start, run: Run[None], new: bool) -> None:
    port = port_of(scripted(secured_echo("second", "first")))

    async def main() -> None:
        async with EpollNetworkBackend(verify=CA) as backend:
            plain = await backend.connect_tcp("127.0.0.1", port)
            if new:
                stream = await backend.connect_tls(plain, "localhost", port, alpn_protocols=["first", "other"])
                assert stream is not plain
                with pytest.raises(RuntimeError, match="connect_tls"):
                    await plain.read()
                with pytest.raises(RuntimeError, match="connect_tls"):
                    await plain.write(b"x")
            else:
                stream = await backend.start_tls(plain, "localhost", alpn_protocols=["first", "other"])
                assert stream is plain
            await together(stream.write(bytes(BULK)), read_exactly(stream, BULK))
            info = stream.get_extra_info
            assert info("ssl_object") is True and info("selected_alpn_protocol") == "first"
            tls = info("tls_info")
            assert tls.version == "TLSv1.3" and tls.cipher.startswith("TLS") and not tls.resumed
            own = ssl.PEM_cert_to_DER_cert(certificate_of("server.pem"))
            assert tls.peer_certificates[0] == own
            with pytest.raises(errors.BadStateError, match="TLS"):
                await backend.start_tls(stream, "localhost")
            await stream.aclose()
            assert plain.is_closed and stream.is_closed
            await plain.aclose()

            plain = await backend.connect_tcp("127.0.0.1", port)
            stream = await backend.connect_tls(plain, "localhost", port, alpn_protocols=())
            assert stream.get_extra_info("selected_alpn_protocol") is None
            await plain.aclose()
            assert stream.is_closed, "it is the same connection"
            await settled(backend)

    run(main)


def test_tls_that_fails(scripted: Start, run: Run[None]) -> None:
    port = port_of(scripted(secured_echo()))
    echoing = port_of(scripted(echo))

    async def main() -> None:
        async with EpollNetworkBackend() as backend:
            trusting = TLSContext(ca=CA)
            for host, tls, error in (
                ("localhost", None, errors.TLSCertUnknownCAError),
                ("other.example", trusting, errors.TLSCertNameError),
            ):
                plain = await backend.connect_tcp("127.0.0.1", port)
                with pytest.raises(error) as raised:
                    await backend.connect_tls(plain, host, port, tls=tls)
                assert isinstance(raised.value, c_http_core.ConnectError)
                assert plain.is_closed
            plain = await backend.connect_tcp("127.0.0.1", echoing)
            with pytest.raises(c_http_core.TLSError):
                await backend.start_tls(plain, "localhost", tls=trusting)
            assert plain.is_closed
            with pytest.raises(RuntimeError):
                await backend.start_tls(plain, "localhost", tls=trusting)
            await settled(backend)

            plain = await backend.connect_tcp("127.0.0.1", port)
            with pytest.raises(ValueError, match="alpn_protocols"):
                await backend.start_tls(plain, "localhost", tls=trusting, alpn_protocols=["h2"])
            with pytest.raises(TypeError, match="alpn_protocols"):
                await backend.start_tls(plain, "localhost", alpn_protocols="h2")
            with pytest.raises(TypeError, match="EpollNetworkStream"):
                await backend.start_tls(network.MockNetworkStream(), "localhost")
            assert not plain.is_closed
            await plain.aclose()

    run(main)


def test_nothing_in_the_clear_is_taken_for_secured(scripted: Start, run: Run[None]) -> None:
    """STARTTLS with something behind the word that lets TLS begin (CVE-2011-0411)."""

    def handle(connection: socket.socket) -> None:
        connection.sendall(b"220 go\r\ninjected")
        secured_echo()(connection)

    server = scripted(handle)

    async def main() -> None:
        async with EpollNetworkBackend(verify=CA) as backend:
            stream = await backend.connect_tcp("127.0.0.1", port_of(server))
            assert await read_exactly(stream, 8) == b"220 go\r\n"
            assert await read_exactly(stream, 2) == b"in"
            with pytest.raises(errors.UnexpectedDataError, match="in the clear"):
                await backend.start_tls(stream, "localhost")
            assert await read_exactly(stream, 6) == b"jected"
            await backend.start_tls(stream, "localhost")
            await stream.write(b"secret")
            assert await read_exactly(stream, 6) == b"secret"
            await stream.aclose()

    run(main)
