"""Faults of what stands at the site's centre: vCenter, its word with hosts, the lab's servers."""

from __future__ import annotations

import time

import pytest
from pyVmomi import vmodl

from lab.errors import LabError
from lab.faults import apply as faults
from lab.hypervisor import guest
from tests.contract.lab import wire
from tests.contract.lab.bench import Bench


@pytest.mark.parametrize(
    ("server", "mode", "said"),
    [
        ("vcenter", "killed", "ConnectionRefusedError"),
        pytest.param("registry", "killed", "ConnectionRefusedError", marks=pytest.mark.soak),
        ("packages", "killed", "ConnectionRefusedError"),
        pytest.param("vcenter", "hung", "TimeoutError", marks=pytest.mark.soak),
        ("registry", "hung", "TimeoutError"),
        pytest.param("packages", "hung", "TimeoutError", marks=pytest.mark.soak),
    ],
)
def test_a_server_of_the_lab_is_away_and_back(
    echo: Bench, server: str, mode: str, said: str
) -> None:
    port = {
        "vcenter": echo.instance.allocation.vcenter_port,
        "registry": echo.instance.allocation.registry_port,
        "packages": echo.instance.allocation.packages_port,
    }[server]

    def get() -> str:
        script = (
            "import socket, ssl, sys\n"
            "tls = sys.argv[3] == 'tls'\n"
            "try:\n"
            "    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)\n"
            "    if tls: s = ssl._create_unverified_context().wrap_socket(s)\n"
            "    s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\n"
            "    print('answered' if s.recv(9) else 'closed')\n"
            "except OSError as e:\n"
            "    print(type(e).__name__)\n"
        )
        kind = "plain" if server == "packages" else "tls"
        return echo.inside(
            "lab-a", "python3", "-c", script, echo.instance.gateway, str(port), kind
        ).strip()

    assert get() == "answered"
    fault = faults.apply(echo.instance, f"{server}-away", server, {"mode": mode})
    assert get() == said
    assert echo.machine("lab-a").is_on, "machines run on without it"
    echo.heal(fault.id)
    assert get() == "answered"
    assert echo.agree()


def test_a_slow_vcenter_takes_longer_for_each_call(echo: Bench) -> None:
    def took_s() -> float:
        begin = time.monotonic()
        echo.session.CurrentTime()
        return time.monotonic() - begin

    assert echo.vm("lab-a")
    before = took_s()
    fault = faults.apply(echo.instance, "vcenter-slow", "vcenter", {"seconds": "3"})
    slow = took_s()
    echo.heal(fault.id)
    assert min(before, took_s()) < 3 <= slow


def test_a_host_out_of_touch_keeps_its_machines_and_takes_no_orders(echo: Bench) -> None:
    vm = echo.vm("lab-a")
    host = vm.runtime.host
    before = guest.init_pid(echo.machine("lab-a"))
    fault = faults.apply(echo.instance, "host-disconnected", host.name, {})
    assert host.runtime.connectionState == "disconnected"
    assert guest.init_pid(echo.machine("lab-a")) == before, "the machine runs on"
    assert wire.reaches(echo, "lab-b", "lab-a")
    with pytest.raises(vmodl.MethodFault):
        echo.done(vm.PowerOffVM_Task())
    with pytest.raises(LabError, match="FAULT_ALREADY_ACTIVE"):
        faults.apply(echo.instance, "host-disconnected", host.name, {})
    echo.heal(fault.id)
    assert host.runtime.connectionState == "connected"
    assert echo.agree()
    assert guest.init_pid(echo.machine("lab-a")) == before
