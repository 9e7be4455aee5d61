"""https, against the demo's server."""

from __future__ import annotations

from pathlib import Path

import pytest

import c_http_core
from c_http_core import AsyncClient, Client, TLSContext, errors
from c_http_core._config import OptionValue
from conftest import Run, TLSServers


def test_trust(tls_servers: TLSServers) -> None:
    with Client() as client, pytest.raises(errors.TLSCertUnknownCAError) as raised:
        client.get(tls_servers.url())
    assert isinstance(raised.value, c_http_core.TLSError) and raised.value.phase == "tls"
    with Client(verify=tls_servers.ca) as client:
        response = client.get(tls_servers.url())
        assert response.text == "hello\n"
        tls = response.tls
        assert tls is not None and response.timing.tls_took > 0
        assert (tls.version, tls.alpn, tls.resumed) == ("TLSv1.3", "http/1.1", False)
        assert tls.cipher.startswith("TLS_") and tls.group
        assert len(client.get(tls_servers.url("/bytes/3000000")).content) == 3_000_000
    with Client(verify=False) as client:
        assert client.get(tls_servers.url()).status_code == 200
    with Client(tls=TLSContext(ca=tls_servers.ca.read_bytes(), max_version=12)) as client:
        tls = client.get(tls_servers.url()).tls
        assert tls is not None and tls.version == "TLSv1.2"


def test_settings_of_a_client_are_its_engines(tls_servers: TLSServers) -> None:
    """Its requests need not say them, and are packed once; beside other options of TLS each says them all the same."""
    choices: list[dict[str, OptionValue]] = [{}, {"tls_session_cache": 0}]
    for options in choices:
        with Client(verify=tls_servers.ca, options=options) as client:
            assert client.get(tls_servers.url()).status_code == 200
            assert client._engine is not None and bool(client._engine.collecting) is not bool(options)
            with pytest.raises(errors.TLSCertUnknownCAError):
                client.get(tls_servers.url(), tls=TLSContext())
    with Client(options={"tls_alpn": TLSContext()}) as client, pytest.raises(TypeError, match="tls_alpn"):
        client.get(tls_servers.url())


def test_names_and_times(tls_servers: TLSServers) -> None:
    address = f"127.0.0.1:{tls_servers.plain}"
    with Client(verify=tls_servers.ca) as client:
        for name, error in (
            ("expired.test", errors.TLSCertExpiredError),
            ("stranger.test", errors.TLSCertUnknownCAError),
            ("other.test", errors.TLSCertNameError),
        ):
            with pytest.raises(error):
                client.get(f"https://{name}/", connect_to=address)
        named = TLSContext(ca=tls_servers.ca, server_name="localhost")
        assert client.get("https://other.test/", connect_to=address, tls=named).status_code == 200


def test_client_certificate(tls_servers: TLSServers) -> None:
    certificate = tls_servers.certificates / "client.pem"
    with Client(verify=tls_servers.ca) as client, pytest.raises(errors.TLSAlertError) as raised:
        client.get(tls_servers.url(mutual=True))
    assert raised.value.native_code > 0
    for settings in (
        TLSContext(ca=tls_servers.ca, cert=certificate),
        TLSContext(ca=tls_servers.ca, cert=certificate.read_bytes(), key=certificate.read_bytes()),
    ):
        with Client() as client:
            assert client.get(tls_servers.url("/whoami", mutual=True), tls=settings).text == "chttpcore demo client\n"
    with Client(verify=tls_servers.ca, cert=(certificate, certificate)) as client:
        assert client.get(tls_servers.url("/whoami", mutual=True)).text == "chttpcore demo client\n"


def test_pins(tls_servers: TLSServers) -> None:
    pin = (tls_servers.certificates / "pin").read_text().strip()
    with Client(tls=TLSContext(ca=tls_servers.ca, pins=["sha256/" + "A" * 43 + "=", pin])) as client:
        assert client.get(tls_servers.url()).status_code == 200
    with Client(tls=TLSContext(ca=tls_servers.ca, pins=["sha256/" + "A" * 43 + "="])) as client:
        with pytest.raises(errors.TLSPinError):
            client.get(tls_servers.url())


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidTLSError, match="tls_ca_file"):
        TLSContext(ca=tmp_path / "absent.pem")
    with pytest.raises(errors.InvalidTLSError):
        TLSContext(cert=b"no certificate")
    with pytest.raises(errors.OptionRangeError):
        TLSContext(min_version=11)
    with pytest.raises(TypeError):
        context = TLSContext()
        context.__reduce__()


def test_shared_and_dropped(tls_servers: TLSServers) -> None:
    """A context is needed while requests are made, and by nobody afterwards."""
    context = TLSContext(ca=tls_servers.ca)
    with Client(tls=context) as one, Client() as two:
        assert one.get(tls_servers.url()).status_code == two.get(tls_servers.url(), tls=context).status_code
        with two.stream("GET", tls_servers.url("/bytes/3000000"), tls=context) as response:
            del context
            assert len(response.read()) == 3_000_000


def test_async(tls_servers: TLSServers, run: Run[None]) -> None:
    async def main() -> None:
        async with AsyncClient(verify=tls_servers.ca) as client:
            assert len((await client.get(tls_servers.url("/bytes/3000000"))).content) == 3_000_000
            with pytest.raises(c_http_core.TLSError):
                await client.get(tls_servers.url(mutual=True))

    run(main)
