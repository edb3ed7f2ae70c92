"""Several clients of one registry ask by one transport, which stays open for the next."""

from __future__ import annotations

from model_registry.client import RegistryClient
from model_registry.http import httpx
from model_registry.wire import KeptTransport


class Counted(httpx.BaseTransport):
    """A transport that counts what it is asked, and how often it is closed."""

    def __init__(self) -> None:
        self.asked = self.closed = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Say that it is there."""
        self.asked += 1
        return httpx.Response(200, request=request)

    def close(self) -> None:
        """Note it."""
        self.closed += 1


def test_a_client_that_closes_leaves_a_kept_transport_to_the_next_one() -> None:
    below = Counted()
    for _ in range(2):
        with RegistryClient("oci://registry.test", transport=KeptTransport(below)) as client:
            client.ping()
    assert (below.asked, below.closed) == (2, 0)


def test_the_control_closes_it() -> None:
    below = Counted()
    with RegistryClient("oci://registry.test", transport=below) as client:
        client.ping()
    assert (below.asked, below.closed) == (1, 1)
