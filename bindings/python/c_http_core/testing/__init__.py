"""A network for the tests of programs that use `Client` or `AsyncClient`: no socket is opened, and no time spent.

    from c_http_core import Client
    from c_http_core.testing import MockNetwork, Reply

    def test_names() -> None:
        with MockNetwork() as network:
            network.route("GET", "http://api.test/names", Reply(json=["Ada"]))
            with Client(backend=network) as client:
                assert client.get("http://api.test/names").json() == ["Ada"]
            assert [request.method for request in network.requests] == ["GET"]

Under the client is the library itself: what is sent and answered are bytes of HTTP, connections are pooled, and
failures and time-outs are those of a real network, on a clock that passes by itself.
"""

from ._network import MockNetwork, UnexpectedRequest
from ._reply import MockRequest, Reply

__all__ = ["MockNetwork", "MockRequest", "Reply", "UnexpectedRequest"]
