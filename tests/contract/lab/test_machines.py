"""Real machines on a bridge of their own: what vCenter's hook relies on.

They need root and the built base image, but no vCenter and no site.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lab.build import parts
from lab.faults import apply as faults
from lab.hypervisor import guest
from lab.hypervisor.machine import Machine
from lab.instance import naming, network
from lab.instance.allocate import ensure_instance
from lab.instance.model import CHECKOUT, Instance
from lab.instance.up import set_base_image
from lab.instance.waiting import wait_until
from lab.testrun.ownlab import owned

NODE = "lab-chat-01"
Hook = Callable[..., subprocess.CompletedProcess[str]]


def _greets(address: str) -> bool:
    """Whether an SSH server greets at an address, over the bridge."""
    with (
        suppress(OSError),
        socket.create_connection((address, 22), timeout=1) as connection,
    ):
        connection.settimeout(1)
        return connection.recv(4) == b"SSH-"
    return False


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    """An instance of its own; whatever happens nothing of it is left."""
    root = CHECKOUT / ".lab" / f"m{os.getpid() % 0xFFFFF:05x}"
    with owned(root.name):
        yield from _made_and_removed(root)


def _made_and_removed(root: Path) -> Iterator[Instance]:
    system = parts.path("base-image") / "rootfs"
    try:
        made = ensure_instance(root)
        set_base_image(made, system)
        yield made
    finally:
        clean = ["/usr/bin/python3", "-S", "-m", "lab.cleanup", "--instance", str(root)]
        done = subprocess.run(clean, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
        links = subprocess.run(["ip", "link"], capture_output=True, text=True, timeout=60).stdout
        assert done.returncode == 0, done.stderr
        assert f"pf{root.name}" not in links
        assert not root.exists()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True, timeout=30
    )
    return file


@pytest.fixture(scope="module")
def vm(instance: Instance, key: Path) -> dict[str, Any]:
    """What vCenter tells the hook of a VM."""
    address = f"{instance.network.network_address + 21}/24"
    nic = {
        "addresses": [address],
        "dhcp4": False,
        "routes": [{"to": "0.0.0.0/0", "via": instance.gateway}],
    }
    metadata = {
        "instance-id": NODE,
        "local-hostname": NODE,
        "network": {"version": 2, "ethernets": {"e* host0": nic}},
    }
    user = {
        "name": "permafrost",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "ssh_authorized_keys": [key.with_suffix(".pub").read_text().strip()],
    }
    userdata = "#cloud-config\n" + json.dumps({"users": [user], "manage_etc_hosts": "localhost"})
    return {
        "uuid": "42000000-0000-4000-8000-005056000021",
        "mac": "00:50:56:00:00:21",
        "host": "lab-esx-01",
        "memory_mib": 1024,
        "num_cpus": 2,
        "disks": [{"label": "disk0", "key": 2000, "gib": 40}],
        "extra_config": {
            "guestinfo.metadata": json.dumps(metadata),
            "guestinfo.userdata": base64.b64encode(userdata.encode()).decode(),
            "guestinfo.userdata.encoding": "base64",
        },
    }


@pytest.fixture
def hook(instance: Instance, vm: dict[str, Any]) -> Hook:
    """Call the hypervisor as vCenter does."""

    def call(verb: str, name: str = NODE) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "lab.hypervisor", "--instance", str(instance.root), verb]
        done = subprocess.run(
            [*argv, *([name] if name else [])],
            input=json.dumps(vm),
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done

    return call


@pytest.fixture
def ssh(instance: Instance, key: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in the guest as an orchestrator would."""

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        options = {
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
            "ConnectTimeout": "3",
            "BatchMode": "yes",
        }
        flags = [part for k, v in options.items() for part in ("-o", f"{k}={v}")]
        target = f"permafrost@{instance.network.network_address + 21}"
        return subprocess.run(
            ["ssh", "-i", str(key), *flags, target, *argv],
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def machine(instance: Instance) -> Machine:
    return Machine(instance, NODE)


def test_power_on_twice_at_once_makes_one_guest_with_its_own_address(
    instance: Instance, hook: Hook, ssh: Any, machine: Machine
) -> None:
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(hook, ["on", "on"])
    assert json.loads(first.stdout) == json.loads(second.stdout)
    assert json.loads(first.stdout) == {
        "address": str(instance.network.network_address + 21),
        "addresses": [str(instance.network.network_address + 21)],
        "prefix": 24,
        "gateway": instance.gateway,
        "hostname": NODE,
    }
    said = ssh("hostname; sudo -n id -u; cat /sys/class/net/host0/address")
    assert said.returncode == 0, said.stderr
    assert said.stdout.split() == [NODE, "0", "00:50:56:00:00:21"]
    commands = {pid: _command(pid) for pid in machine.group.processes()}
    spawned = [pid for pid, command in commands.items() if command == "systemd-nspawn"]
    assert spawned == [guest.nspawn_pid(machine)]


LISTEN = """
import socket
server = socket.create_server(("198.18.77.2", 7777))
print("ready", flush=True)
while True:
    server.accept()[0].close()
"""


@pytest.fixture
def outside(instance: Instance) -> Iterator[str]:
    """A server beyond this Linux machine, which would forward to it; its address."""
    space, here, there = f"pfo{instance.id}", "pfo-here", "pfo-there"
    steps = [
        f"netns add {space}",
        f"link add {here} type veth peer name {there} netns {space}",
        f"address add 198.18.77.1/30 dev {here}",
        f"link set {here} up",
        f"-n {space} address add 198.18.77.2/30 dev {there}",
        f"-n {space} link set {there} up",
        f"-n {space} route add default via 198.18.77.1",
    ]
    listening = None
    try:
        for step in steps:
            subprocess.run(["ip", *step.split()], check=True, timeout=9)
        for link in (here, instance.allocation.bridge):
            Path(f"/proc/sys/net/ipv4/conf/{link}/forwarding").write_text("1")
        argv = ["ip", "netns", "exec", space, sys.executable, "-c", LISTEN]
        listening = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert listening.stdout is not None
        assert listening.stdout.readline() == "ready\n"
        yield "198.18.77.2"
    finally:
        if listening is not None:
            listening.kill()
            listening.wait(9)
        Path(f"/proc/sys/net/ipv4/conf/{instance.allocation.bridge}/forwarding").write_text("0")
        subprocess.run(["ip", "netns", "delete", space], check=False, timeout=9)


def test_a_guest_cannot_leave_the_lab(
    instance: Instance, hook: Hook, ssh: Any, outside: str
) -> None:
    hook("on")
    dial = ("timeout", "2", "bash", "-c", f"'echo > /dev/tcp/{outside}/7777'")
    assert ssh(*dial).returncode != 0
    table = ["nft", "delete", "table", "inet", naming.table_name(instance.id)]
    subprocess.run(table, check=True, timeout=9)
    try:  # control: it is the walls that hold the guest back
        assert ssh(*dial).returncode == 0
    finally:
        network.ensure(instance)
    assert ssh(*dial).returncode != 0


def test_a_reboot_from_inside_keeps_the_machine_on(hook: Hook, ssh: Any, machine: Machine) -> None:
    hook("on")
    before = guest.init_pid(machine)
    ssh("sudo touch /etc/kept; sudo systemctl reboot")
    assert wait_until(lambda: guest.init_pid(machine) not in (None, before), 30)
    assert machine.is_on
    hook("on")
    assert ssh("test -e /etc/kept").returncode == 0


def test_what_is_done_in_a_guest_stays_in_it(hook: Hook, ssh: Any, instance: Instance) -> None:
    hook("on")
    ssh("sudo rm -f /usr/bin/perl /etc/debian_version")
    assert (instance.root / "base-image" / "etc/debian_version").exists()
    hook("destroy")
    hook("on")
    assert ssh("cat /etc/debian_version").stdout.startswith("13")


def test_shutdown_is_graceful_and_off_is_not(hook: Hook, ssh: Any, machine: Machine) -> None:
    hook("on")
    hook("shutdown")
    assert not machine.is_on
    assert "Reached target" in machine.console_log.read_text(errors="replace")
    hook("on")
    hook("off")
    assert not machine.is_on
    assert json.loads(hook("list", "").stdout) == [{"name": NODE, "power": "off"}]


def test_a_poweroff_from_inside_empties_the_group(hook: Hook, ssh: Any, machine: Machine) -> None:
    hook("on")
    ssh("sudo systemctl poweroff")
    assert wait_until(lambda: not machine.is_on, 30)


def test_a_killed_starter_leaves_a_machine_that_the_next_one_finds(
    instance: Instance, hook: Hook, vm: dict[str, Any], machine: Machine
) -> None:
    hook("off")
    argv = [sys.executable, "-m", "lab.hypervisor", "--instance", str(instance.root), "on", NODE]
    starter = subprocess.Popen(argv, stdin=subprocess.PIPE, cwd=CHECKOUT, text=True)
    assert starter.stdin
    starter.stdin.write(json.dumps(vm))
    starter.stdin.close()
    assert wait_until(lambda: machine.is_on, 10, 0.005)
    starter.kill()
    starter.wait(10)
    assert json.loads(hook("on").stdout)["hostname"] == NODE


def test_a_cut_machine_says_nothing_and_comes_back(
    instance: Instance, hook: Hook, ssh: Any, machine: Machine
) -> None:
    address = json.loads(hook("on").stdout)["address"]
    fault = faults.apply(instance, "machine-cut", NODE, {})
    assert not _greets(address)
    hook("reset")
    assert not _greets(address), "a power cycle does not mend a cable"
    faults.heal(instance, fault.id)
    assert wait_until(lambda: _greets(address), 10)


def test_a_frozen_machine_is_on_and_silent_and_can_be_switched_off(
    instance: Instance, hook: Hook, machine: Machine
) -> None:
    address = json.loads(hook("on").stdout)["address"]
    faults.apply(instance, "machine-freeze", NODE, {})
    assert machine.is_on
    assert not _greets(address)
    hook("off")
    faults.heal(instance, "all")
    assert json.loads(hook("on").stdout)["address"] == address


def test_a_shutdown_is_over_when_the_boot_that_was_asked_is(
    instance: Instance, hook: Hook, machine: Machine
) -> None:
    """The guest stands still when it is asked; its power is pulled, and it is started again."""
    hook("on")
    faults.apply(instance, "machine-freeze", NODE, {})
    verb = ["lab.hypervisor", "--instance", str(instance.root), "shutdown", NODE]
    asking = subprocess.Popen([sys.executable, "-m", *verb], cwd=CHECKOUT)
    try:
        assert wait_until(lambda: _is_asked(machine), 10), "it has been asked"
        asking.send_signal(signal.SIGSTOP)  # it does not see the machine off
        hook("off")
        hook("on")
        asking.send_signal(signal.SIGCONT)
        assert asking.wait(30) == 0, "the next boot is not what was asked"
    finally:
        asking.kill()
        asking.wait(10)
    assert machine.is_on


def _is_asked(machine: Machine) -> bool:
    """Whether the machine's supervisor has been sent SIGTERM and stands still before it."""
    status = Path(f"/proc/{guest.nspawn_pid(machine)}/status").read_text()
    waiting = int(next(r for r in status.splitlines() if r.startswith("ShdPnd")).split()[1], 16)
    return bool(waiting & 1 << (signal.SIGTERM - 1))
