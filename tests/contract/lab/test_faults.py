"""Each fault does what it says, and healing undoes it; each on real machines."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.faults import apply as faults
from lab.faults import services
from lab.hypervisor import guest
from lab.hypervisor.machine import Machine
from lab.instance.model import CHECKOUT
from tests.contract.lab import wire
from tests.contract.lab.bench import Bench, until

Pair = tuple[Machine, Machine]
ECHO = f"lab-a:{wire.UNIT}"


@pytest.mark.parametrize("stay_down", ["no", "yes"])
def test_a_crashed_process_is_gone_and_started_again(echo: Bench, stay_down: str) -> None:
    with wire.talking(echo, "lab-b", "lab-a") as talk:
        fault = faults.apply(echo.instance, "service-kill", ECHO, {"stay_down": stay_down})
        until("its connections are closed", lambda: talk.process.poll() is not None)
    until("nobody listens", lambda: "ConnectionRefused" in str(wire.ask(echo, "lab-b", "lab-a")))
    if stay_down == "yes":
        with pytest.raises(LabError):
            echo.inside("lab-a", "systemctl", "start", wire.UNIT)
    echo.heal(fault.id)
    until("it is back", lambda: wire.reaches(echo, "lab-b", "lab-a"))


def test_a_hung_service_accepts_and_never_answers(echo: Bench) -> None:
    fault = faults.apply(echo.instance, "service-hang", ECHO, {})
    said = wire.ask(echo, "lab-b", "lab-a")
    assert said[0] == "connected"
    assert said[1].startswith("error TimeoutError")
    with pytest.raises(LabError, match="FAULT_ALREADY_ACTIVE"):
        faults.apply(echo.instance, "service-hang", ECHO, {})
    echo.heal(fault.id)
    assert wire.reaches(echo, "lab-b", "lab-a")


def test_a_slow_service_answers_late(echo: Bench) -> None:
    def median_ms() -> float:
        said = wire.ask(echo, "lab-b", "lab-a", 2)
        return statistics.median(float(line.split()[1]) for line in said if line.startswith("ok"))

    before = median_ms()
    fault = faults.apply(echo.instance, "service-slow", ECHO, {"share": "0.9", "period_ms": "300"})
    slow = median_ms()
    echo.heal(fault.id)
    after = median_ms()
    assert slow > 5 * max(before, after), (before, slow, after)


def test_a_frozen_machine_runs_and_answers_nothing(echo: Bench) -> None:
    fault = faults.apply(echo.instance, "machine-freeze", "lab-a", {})
    assert echo.machine("lab-a").is_on
    assert not wire.reaches(echo, "lab-b", "lab-a")
    echo.heal(fault.id)
    assert wire.reaches(echo, "lab-b", "lab-a")


@pytest.mark.parametrize(
    "way",
    ["both", *(pytest.param(w, marks=pytest.mark.soak) for w in ("there", "back"))],
)
def test_a_blackhole_between_two_is_silent_and_spares_others(
    echo: Bench, way: str, tmp_path: Any
) -> None:
    with wire.captured(echo.machine("lab-b"), tmp_path / "frames") as frames:
        fault = faults.apply(echo.instance, "network-blackhole", "lab-b:lab-a", {"way": way})
        begun = time.time()
        assert not wire.reaches(echo, "lab-b", "lab-a")
        registry = _connect(echo, "lab-b", echo.instance.allocation.registry_port)
    assert registry == "connected", "the rest of the network works"
    echo.heal(fault.id)
    heard = [f for f in frames if f["at"] > begun and f.get("sent") is False]
    spec = echo.machine("lab-a").spec()
    assert spec
    assert not [f for f in heard if f["what"] == "icmp" or "rst" in f.get("flags", ())]
    if way != "there":
        assert not [f for f in heard if f["from"] == spec.mac]
    until("lab-b reaches it again", lambda: wire.reaches(echo, "lab-b", "lab-a"))


def _connect(bench: Bench, name: str, port: int) -> str:
    """Return what came of a connection from a guest to a server of the lab."""
    script = (
        "import socket, sys\n"
        "try:\n"
        "    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)\n"
        "    print('connected')\n"
        "except OSError as e:\n"
        "    print(type(e).__name__)\n"
    )
    address = bench.instance.gateway
    return bench.inside(name, "python3", "-c", script, address, str(port)).strip()


@pytest.mark.parametrize("server", ["registry", "gateway"])
def test_a_blackhole_towards_a_server_leaves_the_other_machines_alone(
    echo: Bench, server: str
) -> None:
    port = echo.instance.allocation.registry_port
    fault = faults.apply(echo.instance, "network-blackhole", f"lab-a:{server}", {})
    assert _connect(echo, "lab-a", port) == "TimeoutError"
    other = _connect(echo, "lab-a", echo.instance.allocation.packages_port)
    assert other == ("connected" if server == "registry" else "TimeoutError")
    assert _connect(echo, "lab-b", port) == "connected"
    assert wire.reaches(echo, "lab-b", "lab-a")
    echo.heal(fault.id)
    assert _connect(echo, "lab-a", port) == "connected"


def test_what_is_severed_stays_severed_over_a_power_cycle(echo: Bench) -> None:
    fault = faults.apply(echo.instance, "network-blackhole", "lab-a:lab-b", {})
    echo.done(echo.vm("lab-a").ResetVM_Task())
    wire.serve(echo, "lab-a")
    assert not wire.reaches(echo, "lab-b", "lab-a")
    echo.heal(fault.id)
    until("lab-b reaches it again", lambda: wire.reaches(echo, "lab-b", "lab-a"))


def test_a_cut_tells_both_sides(echo: Bench) -> None:
    with wire.talking(echo, "lab-b", "lab-a") as talk:
        fault = faults.apply(echo.instance, "network-cut", "lab-a:lab-b", {})
        until("the established connection is reset", lambda: talk.process.poll() is not None)
    assert "reset" in talk.lines[-1].lower()
    assert "ConnectionRefused" in str(wire.ask(echo, "lab-b", "lab-a"))
    echo.heal(fault.id)
    assert wire.reaches(echo, "lab-b", "lab-a")


def test_a_relay_delays_and_loses_and_is_gone_when_healed(echo: Bench) -> None:
    def times_ms(seconds: float) -> list[float]:
        said = wire.ask(echo, "lab-b", "lab-a", seconds)
        return [float(line.split()[1]) for line in said if line.startswith("ok")]

    before = statistics.median(times_ms(0.5))
    options = {"delay_ms": "80"}
    fault = faults.apply(echo.instance, "network-relay", "lab-a:lab-b", options)
    late = times_ms(1)
    assert min(late) >= 160, "each way waits"
    assert before < 80
    echo.heal(fault.id)
    assert statistics.median(times_ms(0.5)) < 80
    fault = faults.apply(echo.instance, "network-relay", "lab-a:lab-b", {"loss": "0.2"})
    until("some are lost", lambda: not wire.reaches(echo, "lab-b", "lab-a"))
    until("and some are not", lambda: wire.reaches(echo, "lab-b", "lab-a"))
    echo.heal(fault.id)
    options = {"delay_ms": "40", "jitter_ms": "30"}
    fault = faults.apply(echo.instance, "network-relay", "lab-a:lab-b", options)
    uneven = times_ms(2)
    assert min(uneven) >= 80, "both ways"
    assert max(uneven) - min(uneven) > 10, "and never the same"
    echo.heal(fault.id)
    fault = faults.apply(echo.instance, "network-relay", "lab-a:lab-b", {"loss": "1"})
    assert not wire.reaches(echo, "lab-b", "lab-a")
    echo.heal(fault.id)
    until("lab-b reaches it again", lambda: wire.reaches(echo, "lab-b", "lab-a"))
    groups = echo.instance.group.path / "_services"
    assert not [g for g in groups.iterdir() if g.name.startswith("relay")]


def test_a_full_disk_takes_no_byte_and_keeps_what_it_had(echo: Bench) -> None:
    def write(path: str) -> str:
        script = (
            "import sys\n"
            "try:\n"
            "    open(sys.argv[1], 'w').write('x' * 9000)\n"
            "    print('ok')\n"
            "except OSError as e:\n"
            "    print(e.errno)\n"
        )
        return echo.inside("lab-a", "python3", "-c", script, path).strip()

    folder = "/var/lib/permafrost"
    assert write(f"{folder}/before") == "ok"
    fault = faults.apply(echo.instance, "disk-full", "lab-a", {"path": folder})
    assert write(f"{folder}/new") == "28", "ENOSPC"
    assert len(echo.inside("lab-a", "cat", f"{folder}/before")) == 9000
    assert write("/root/elsewhere") == "ok"
    # A service with mounts of its own sees it too.
    private = "systemd-run --quiet --wait --pipe -p PrivateTmp=yes"
    command = f"{private} sh -c 'head -c 9000 /dev/zero > {folder}/other' 2>&1 || :"
    found = echo.inside("lab-a", "sh", "-c", command)
    assert "No space left" in found
    echo.heal(fault.id)
    assert write(f"{folder}/new") == "ok"
    assert "permafrost-full" not in echo.inside("lab-a", "cat", "/proc/mounts")


def test_a_corrupted_file_differs_in_one_bit_and_is_repaired(echo: Bench) -> None:
    path = "/var/lib/permafrost/weights"
    echo.inside("lab-a", "sh", "-c", f"head -c 100000 /dev/urandom > {path}; chmod 0444 {path}")

    def content() -> tuple[bytes, str]:
        raw = bytes.fromhex(
            echo.inside("lab-a", "python3", "-c", f"print(open({path!r}, 'rb').read().hex())")
        )
        return raw, echo.inside("lab-a", "stat", "-c", "%s %Y %a", path)

    before, facts = content()
    fault = faults.apply(echo.instance, "file-corrupt", f"lab-a:{path}", {})
    after, same = content()
    assert same == facts, "size, time and mode do not tell"
    different = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(different) == 1
    assert (different[0][0] ^ different[0][1]).bit_count() == 1
    echo.heal(fault.id)
    assert content() == (before, facts)


def test_faults_are_refused_with_a_reason_and_nothing_is_recorded(echo: Bench) -> None:
    wrong = [
        ("vip-move", "lab-a", {}, "VIP_ABSENT"),
        ("balancer-kill", "lab-a", {}, "BALANCER_ABSENT"),
        ("network-blackhole", "lab-a:lab-a", {}, "TARGET_INVALID"),
        ("network-blackhole", "gateway:registry", {}, "TARGET_INVALID"),
        ("network-blackhole", "lab-a:nobody", {}, "MACHINE_UNKNOWN"),
        ("network-blackhole", "lab-a:registry", {"way": "there"}, "FAULT_OPTION_INVALID"),
        ("network-relay", "lab-a:registry", {}, "TARGET_INVALID"),
        ("network-relay", "lab-a:lab-b", {"loss": "2"}, "FAULT_OPTION_INVALID"),
        ("network-relay", "lab-a:lab-b", {"lose": "1"}, "FAULT_OPTION_UNKNOWN"),
        ("service-hang", "lab-a:nobody.service", {}, "UNIT_UNKNOWN"),
        ("disk-full", "lab-a", {"path": "/"}, "FAULT_OPTION_INVALID"),
        ("disk-full", "lab-a", {"path": "/nowhere"}, "FOLDER_UNKNOWN"),
        ("file-corrupt", "lab-a:/nowhere", {}, "FILE_UNREADABLE"),
        ("file-corrupt", "lab-a", {}, "TARGET_INVALID"),
        ("vcenter-slow", "registry", {}, "TARGET_INVALID"),
        ("registry-away", "vcenter", {"mode": "asleep"}, "FAULT_OPTION_INVALID"),
    ]
    recorded = echo.instance.faults_file.read_text()
    for kind, target, options, code in wrong:
        with pytest.raises(LabError, match=code) as refused:
            faults.apply(echo.instance, kind, target, options)
        assert refused.value.exit_status == 3
    assert echo.instance.faults_file.read_text() == recorded


# Option by option of what an applier may be doing when it is killed.
KILLED = [
    ("network-blackhole", "lab-a:lab-b"),
    ("network-relay", "lab-a:lab-b"),
    ("network-cut", "lab-a:lab-b"),
    ("service-slow", ECHO),
    ("service-hang", ECHO),
    ("machine-freeze", "lab-a"),
    ("disk-full", "lab-a"),
    ("vcenter-away", "vcenter"),
    ("host-lost", "HOST"),
]


@pytest.mark.exhaustive(2)
@pytest.mark.parametrize(("kind", "target"), KILLED)
def test_what_a_killed_applier_began_is_healed(echo: Bench, kind: str, target: str) -> None:
    if target == "HOST":
        target = echo.vm("lab-a").runtime.host.name
    before = echo.instance.faults_file.read_text().count('"event": "apply"')
    command = [str(CHECKOUT / ".venv/bin/permafrost-lab"), "fault", "apply", kind, target]
    env = {"PERMAFROST_LAB": echo.instance.id, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    applier = subprocess.Popen(command, env=env, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    try:
        until(
            "the applier has written down what it will do",
            lambda: (
                echo.instance.faults_file.read_text().count('"event": "apply"') > before
                or applier.poll() is not None
            ),
        )
    finally:
        applier.kill()
        applier.wait(10)
    done = subprocess.run(
        [*command[:2], "heal", "all", "--output", "json"],
        env=env, cwd=CHECKOUT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["healed"]) == 1
    echo.power_on("lab-a")
    assert echo.agree()
    wire.serve(echo, "lab-a")
    until("lab-b reaches it", lambda: wire.reaches(echo, "lab-b", "lab-a"))
    groups = [g.name for g in (echo.instance.group.path / "_services").iterdir()]
    assert not [g for g in groups if g.startswith(("relay", "throttle"))]


def test_times_of_the_record_are_those_of_the_clock(echo: Bench) -> None:
    before = time.time()
    fault = faults.apply(echo.instance, "machine-cut", "lab-b", {})
    faults.heal(echo.instance, fault.id)
    after = time.time()
    lines = [json.loads(line) for line in echo.instance.faults_file.read_text().splitlines()]
    mine = [line for line in lines if line["id"] == fault.id]
    assert [line["event"] for line in mine] == ["apply", "applied", "healed"]
    times = [datetime.fromisoformat(line["at"]).timestamp() for line in mine]
    assert before <= times[0] <= times[1] <= times[2] <= after


def test_the_group_of_a_unit_is_the_one_that_holds_its_process(echo: Bench) -> None:
    group = services.unit_group(echo.machine("lab-a"), wire.UNIT)
    commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in group.processes()]
    assert any("/opt/echo.py" in command for command in commands)
    assert guest.init_pid(echo.machine("lab-a")) not in group.processes()
