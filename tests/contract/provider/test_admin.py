"""What the lab tells its vCenter from outside, seen by a client of vCenter."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVim.connect import SmartConnect
from pyVmomi import vim

from lab.errors import LabError
from lab.services import admin
from tests.contract.provider.administrator import PASSWORD, USER
from tests.contract.provider.vcenter import VCenter

HOST = "DC0_C0_H0"
SOON_S = 20.0


@pytest.fixture
def center(vcenter_program: Path) -> Iterator[Any]:
    """A vCenter of its own: it is made silent, and starts again."""
    with VCenter(vcenter_program) as running:
        yield running


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def connect(center: VCenter) -> Any:
    return SmartConnect(
        host="127.0.0.1", port=center.port, user=USER, pwd=PASSWORD, sslContext=unverified()
    )


def greets(center: VCenter, timeout_s: float) -> bool:
    """Say whether a new connection gets as far as a TLS handshake."""
    with socket.create_connection(("127.0.0.1", center.port), timeout=timeout_s) as plain:
        try:
            with unverified().wrap_socket(plain):
                return True
        except TimeoutError:
            return False


def host_state(session: Any, name: str) -> tuple[str, set[str]]:
    """Return the host's connection state, and those of its VMs and templates."""
    content = session.RetrieveContent()
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.HostSystem], True)
    host = next(h for h in view.view if h.name == name)
    return str(host.runtime.connectionState), {str(v.runtime.connectionState) for v in host.vm}


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_host_is_lost_disconnected_and_back(center: Any) -> None:
    session = connect(center)
    admin.lose_host(center, HOST)
    assert host_state(session, HOST) == ("notResponding", {"disconnected"})
    admin.regain_host(center, HOST)
    assert host_state(session, HOST) == ("connected", {"connected"})
    admin.disconnect_host(center, HOST)
    assert host_state(session, HOST) == ("disconnected", {"disconnected"})
    admin.regain_host(center, HOST)
    with pytest.raises(LabError, match="there is no host"):
        admin.lose_host(center, "nowhere")


def test_it_is_slow_silent_and_refusing_until_it_is_back(center: Any) -> None:
    session = connect(center)
    admin.slow_vcenter(center, 1.0)
    began = time.monotonic()
    session.CurrentTime()
    assert time.monotonic() - began >= 1.0
    admin.away_vcenter(center, "silent")
    assert not greets(center, 1)
    admin.away_vcenter(center, "refused")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", center.port), timeout=5)
    admin.back_vcenter(center)
    assert greets(center, SOON_S)
    assert host_state(connect(center), HOST)[0] == "connected"


def test_it_starts_again_with_the_same_ids(center: Any) -> None:
    def ids() -> list[str]:
        content = connect(center).RetrieveContent()
        kinds = [vim.VirtualMachine, vim.HostSystem]
        view = content.viewManager.CreateContainerView(content.rootFolder, kinds, True)
        return sorted(v._moId for v in view.view)

    session, before = connect(center), ids()
    admin.restart_vcenter(center)

    def knows_no_session() -> bool:
        try:
            session.CurrentTime()
        except vim.fault.NotAuthenticated:
            return True
        except OSError:  # it is not there yet
            return False
        return False

    until(knows_no_session)
    assert ids() == before
