"""The client when the registry or the network misbehaves."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from model_registry import blobs, digests
from model_registry.client import RegistryClient
from model_registry.errors import RegistryError
from tests.contract.registry.fake import PASSWORD, USER, FakeRegistry

CONTENT = bytes(range(256)) * 10
DIGEST = digests.of_bytes(CONTENT)


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(registry: FakeRegistry, pauses: list[float]) -> RegistryClient:
    return RegistryClient(
        "oci://registry.test",
        username=USER,
        password=PASSWORD,
        transport=registry.transport(),
        pause=pauses.append,
    )


def once(status: int, method: str) -> object:
    return lambda request: httpx.Response(status) if request.method == method else None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_tried_again(
    registry: FakeRegistry, client: RegistryClient, pauses: list[float], status: int
) -> None:
    registry.faults += [once(status, "HEAD"), once(status, "HEAD")]
    assert not client.has_blob("a", DIGEST)
    assert pauses == [0.2, 0.4]


def later(method: str, after: str) -> object:
    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.method != method:
            return None
        return httpx.Response(429, headers={"Retry-After": after})

    return answer


@pytest.mark.parametrize(("after", "pause"), [("7", 7.0), ("86400", 60.0), ("soon", 0.2)])
def test_a_registry_that_asks_for_patience_is_given_it_within_a_bound(
    registry: FakeRegistry, client: RegistryClient, pauses: list[float], after: str, pause: float
) -> None:
    registry.faults += [later("HEAD", after)]
    assert not client.has_blob("a", DIGEST)
    assert pauses == [pause]


def test_a_date_to_wait_for_is_understood(
    registry: FakeRegistry, client: RegistryClient, pauses: list[float]
) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    registry.faults += [later("HEAD", moment)]
    client.has_blob("a", DIGEST)
    assert 20 < pauses[0] <= 30


def test_a_download_and_an_upload_wait_as_they_are_asked_to(
    registry: FakeRegistry, client: RegistryClient, pauses: list[float]
) -> None:
    registry.faults += [later("PUT", "3")]
    assert client.upload("a", DIGEST, io.BytesIO(CONTENT), len(CONTENT))
    assert pauses == [3.0]
    registry.faults += [later("GET", "4")]
    target = io.BytesIO()
    client.download("a", DIGEST, target)
    assert target.getvalue() == CONTENT
    assert pauses == [3.0, 4.0]


def test_a_lasting_failure_is_told(registry: FakeRegistry, client: RegistryClient) -> None:
    registry.faults += [once(503, "HEAD")] * 5
    with pytest.raises(RegistryError, match="REGISTRY_FAILED"):
        client.has_blob("a", DIGEST)


def test_silence_is_told_with_a_hint() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    dead = RegistryClient(
        "oci://registry.test", transport=httpx.MockTransport(refuse), pause=lambda _: None
    )
    with pytest.raises(RegistryError, match="REGISTRY_UNREACHABLE") as caught:
        dead.ping()
    assert caught.value.hint


def test_an_upload_goes_on_after_a_cut(
    registry: FakeRegistry, client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "CHUNK", 1000)
    lost = iter([False, True])

    def lose_the_answer(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PATCH" and next(lost):
            registry._uploads(request, "a", request.url.path.rpartition("/")[2])
            raise httpx.ReadError("the bytes arrived, the answer did not", request=request)
        return None

    class Twice(list):
        def remove(self, _: object) -> None:
            return

    registry.faults = Twice([lose_the_answer])
    assert client.upload("a", DIGEST, io.BytesIO(CONTENT), len(CONTENT))
    assert registry.blobs[DIGEST] == CONTENT
    starts = [r.headers["Content-Range"] for r in registry.requests if r.method == "PATCH"]
    assert starts == ["0-999", "1000-1999"]


def test_wrong_bytes_from_the_registry_are_refused(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    registry.blobs[DIGEST] = b"tampered"
    registry.manifests["a", DIGEST] = ("x", b"{}")
    for ask in (client.blob, client.manifest_bytes):
        with pytest.raises(RegistryError, match="DIGEST_MISMATCH"):
            ask("a", DIGEST)
    with pytest.raises(RegistryError, match="DIGEST_MISMATCH"):
        client.download("a", DIGEST, io.BytesIO())


def test_the_password_is_sent_only_when_asked_and_never_elsewhere(
    registry: FakeRegistry, client: RegistryClient
) -> None:
    seen: list[tuple[str, bool]] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.host, "Authorization" in request.headers))
        if request.url.host == "store.test":
            return httpx.Response(200, content=CONTENT)
        if request.url.path.startswith("/v2/a/blobs"):
            answer = registry.handle(request)
            if answer.status_code == 401:
                return answer
            return httpx.Response(307, headers={"Location": "https://store.test/x"})
        return registry.handle(request)

    redirected = RegistryClient(
        "oci://registry.test",
        username=USER,
        password=PASSWORD,
        transport=httpx.MockTransport(elsewhere),
    )
    registry.blobs[DIGEST] = CONTENT
    assert redirected.blob("a", DIGEST) == CONTENT
    assert seen == [("registry.test", False), ("registry.test", True), ("store.test", False)]


def test_a_token_is_fetched_from_the_realm_and_used() -> None:
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        given = request.headers.get("Authorization", "")
        asked.append(f"{request.url.host}{request.url.path} {given.partition(' ')[0]}".strip())
        if request.url.host == "auth.test":
            assert request.url.params["scope"] == "repository:a:pull"
            return httpx.Response(200, json={"token": "t0ken"})
        if given == "Bearer t0ken":
            return httpx.Response(200, content=CONTENT)
        challenge = 'Bearer realm="https://auth.test/token",service="r",scope="repository:a:pull"'
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    client = RegistryClient(
        "oci://registry.test",
        username=USER,
        password=PASSWORD,
        transport=httpx.MockTransport(handle),
    )
    assert client.blob("a", DIGEST) == CONTENT
    assert client.blob("a", DIGEST) == CONTENT
    assert asked == [
        f"registry.test/v2/a/blobs/{DIGEST}",
        "auth.test/token Basic",
        f"registry.test/v2/a/blobs/{DIGEST} Bearer",
        f"registry.test/v2/a/blobs/{DIGEST} Bearer",
    ]


def test_a_token_realm_in_the_clear_gets_no_password() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url.scheme == "https"
        challenge = 'Bearer realm="http://auth.test/token"'
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    client = RegistryClient(
        "oci://registry.test",
        username=USER,
        password=PASSWORD,
        transport=httpx.MockTransport(handle),
    )
    with pytest.raises(RegistryError, match="REGISTRY_DENIED"):
        client.ping()


@pytest.mark.parametrize("url", ["https://registry.test", "registry.test", "oci:registry"])
def test_an_address_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(RegistryError, match="REGISTRY_URL_INVALID"):
        RegistryClient(url)
