"""What a vCenter's end of the line does, and what a person is told of it."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lab.instance.authority import ensure_authority, ensure_certificate
from permafrost.adapters.vsphere.session import VcenterSession
from permafrost.errors import Failed
from permafrost.site.load import LoadedSite
from tests.fakes.site import small_site, write_site

HERE = "127.0.0.1"


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve connections one after the other; yield the port."""
    with socket.create_server((HERE, 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def session(folder: Path, port: int, authority: Path) -> VcenterSession:
    site = small_site()
    site.vcenter.__dict__["server"] = f"{HERE}:{port}"
    path = write_site(folder)
    assert site.vcenter.ca_file
    shutil.copy(authority, folder / site.vcenter.ca_file)
    return VcenterSession(LoadedSite(site, path))


def told(one: VcenterSession) -> str:
    with pytest.raises(Failed) as raised:
        one.call(lambda content: content)
    return raised.value.problems[0].code


def over_tls(authority: Path, folder: Path, said: bytes) -> Callable[[socket.socket], None]:
    """Answer each request within TLS with the same bytes."""
    certificate, key = ensure_certificate(authority, folder, HERE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(1 << 16)
            wrapped.sendall(said)

    return answer


def hears_and_goes(connection: socket.socket) -> None:
    """End in the middle of TLS, in order: what came was read, so there is no reset."""
    connection.recv(1 << 16)


def test_a_connection_that_breaks_off_is_no_matter_of_certificates(tmp_path: Path) -> None:
    """A vCenter that is going away accepts still, and closes within TLS."""
    ensure_authority(tmp_path / "ca", "ours")
    with listening(hears_and_goes) as port:
        assert told(session(tmp_path, port, tmp_path / "ca/ca.pem")) == "VCENTER_UNREACHABLE"
    assert told(session(tmp_path, port, tmp_path / "ca/ca.pem")) == "VCENTER_UNREACHABLE"


def test_a_certificate_of_another_authority_is_told(tmp_path: Path) -> None:
    """The control: what is one of certificates is called so."""
    ensure_authority(tmp_path / "ca", "ours")
    theirs = ensure_authority(tmp_path / "other", "theirs")
    answer = over_tls(theirs, tmp_path / "server", b"")
    with listening(answer) as port:
        assert told(session(tmp_path, port, tmp_path / "ca/ca.pem")) == "VCENTER_CERTIFICATE"


def test_one_that_accepts_and_never_answers_is_waited_for_within_a_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody takes the connection out of the queue: the kernel has accepted it."""
    monkeypatch.setattr("permafrost.adapters.vsphere.session.CONNECT_S", 0.3)
    ensure_authority(tmp_path / "ca", "ours")
    with socket.create_server((HERE, 0)) as server:
        one = session(tmp_path, server.getsockname()[1], tmp_path / "ca/ca.pem")
        assert told(one) == "VCENTER_UNREACHABLE"


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwait",
        b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<namespaces/>",
    ],
    ids=["it begins yet", "a page of something before it", "no version"],
)
def test_what_answers_as_no_vcenter_does_is_told_so(tmp_path: Path, said: bytes) -> None:
    ours = ensure_authority(tmp_path / "ca", "ours")
    with listening(over_tls(ours, tmp_path / "server", said)) as port:
        assert told(session(tmp_path, port, tmp_path / "ca/ca.pem")) == "VCENTER_UNREACHABLE"
