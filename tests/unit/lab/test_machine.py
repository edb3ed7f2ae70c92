"""A machine's files and its verbs, without starting one."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.hypervisor import __main__ as entry
from lab.hypervisor import guest, power
from lab.hypervisor.machine import Machine, Spec, machines
from lab.instance.model import Instance

SPEC: dict[str, Any] = {
    "uuid": "42000000-0000-4000-8000-00505600AB21",
    "mac": "00:50:56:00:00:21",
    "host": "lab-esx-01",
    "memory_mib": 2048,
    "num_cpus": 2,
    "disks": [
        {"label": "disk0", "key": 2000, "gib": 40},
        {"label": "data", "key": 2001, "gib": 100},
    ],
    "extra_config": {"guestinfo.metadata": "instance-id: x"},
}


@pytest.fixture
def machine(instance: Instance) -> Machine:
    system = instance.root / "system"
    (system / "usr/bin").mkdir(parents=True)
    (instance.root / "base-image").symlink_to(system)
    return Machine(instance, "lab-chat-01")


def _on(machine: Machine, *, on: bool) -> None:
    machine.group.create()
    (machine.group.path / "cgroup.events").write_text(f"populated {int(on)}\n")


def test_what_a_boot_reads_is_written_and_private(machine: Machine) -> None:
    machine.write(Spec.parse(SPEC), "VMX_GUESTINFO=1\n")
    assert machine.spec() == Spec.parse(SPEC)
    seed = machine.folder / "guest/guestinfo.env"
    assert seed.read_text() == "VMX_GUESTINFO=1\n"
    assert seed.stat().st_mode & 0o777 == 0o600
    assert machine.folder.stat().st_mode & 0o777 == 0o700
    identity = machine.folder / "upper/etc/machine-id"
    assert identity.read_text() == "420000000000400080000050" + "5600ab21\n"
    assert [m.name for m in machines(machine.instance)] == ["lab-chat-01"]


def test_a_machine_keeps_its_identity_over_a_power_cycle(machine: Machine) -> None:
    machine.write(Spec.parse(SPEC), "")
    identity = machine.folder / "upper/etc/machine-id"
    before = identity.read_text()
    machine.write(Spec.parse({**SPEC, "uuid": "0" * 32}), "")
    assert identity.read_text() == before


def test_a_machine_keeps_the_system_it_was_first_started_on(machine: Machine) -> None:
    machine.write(Spec.parse(SPEC), "")
    first = machine.lower()
    newer = machine.instance.root / "newer"
    (newer / "usr/bin").mkdir(parents=True)
    (machine.instance.root / "base-image").unlink()
    (machine.instance.root / "base-image").symlink_to(newer)
    assert machine.lower() == first
    (first / "usr/bin").rmdir()
    with pytest.raises(LabError, match="BASE_IMAGE_MISSING"):
        machine.lower()


def test_the_command_binds_what_must_outlive_the_overlay(machine: Machine) -> None:
    command = machine.command(Spec.parse(SPEC))
    assert f"--bind={machine.folder}/containers:/var/lib/containers" in command
    assert f"--bind={machine.folder}/permafrost:/var/lib/permafrost" in command
    assert f"--bind={machine.folder}/disks/2001:/disks/2001" in command
    assert not [part for part in command if "2000" in part], "disk0 is the overlay"
    assert "--network-interface=host0" in command
    assert not [part for part in command if "instance-id" in part], "no guestinfo on it"


@pytest.mark.parametrize("name", ["", "..", "a/b", "Upper", "1st"])
def test_names_that_would_leave_the_folder_are_refused(instance: Instance, name: str) -> None:
    with pytest.raises(LabError, match="MACHINE_NAME_INVALID"):
        Machine(instance, name)


@pytest.mark.parametrize("missing", ["uuid", "mac", "host", "memory_mib"])
def test_an_incomplete_input_is_refused(missing: str) -> None:
    with pytest.raises(LabError, match="HOOK_INPUT_INVALID"):
        Spec.parse({k: v for k, v in SPEC.items() if k != missing})


def test_list_tells_power(machine: Machine) -> None:
    machine.write(Spec.parse(SPEC), "")
    assert entry.act(machine.instance, "list", "") == (
        0,
        [{"name": "lab-chat-01", "power": "off"}],
    )
    _on(machine, on=True)
    assert entry.act(machine.instance, "list", "") == (
        0,
        [{"name": "lab-chat-01", "power": "on"}],
    )


def test_switching_on_what_is_on_starts_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _on(machine, on=True)
    monkeypatch.setattr(power, "spawn", lambda *_, **__: pytest.fail("started a second one"))
    answer = guest.GuestNetwork("10.0.0.21", 24, "10.0.0.1", "lab-chat-01")
    monkeypatch.setattr(guest, "network", lambda _: answer)
    monkeypatch.setattr(guest, "has_settled", lambda _: True)
    assert power.power_on(machine, Spec.parse(SPEC)) == answer


def test_a_machine_that_ends_while_it_boots_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*_: object, **__: object) -> None:
        machine.console_log.write_text("no such bridge\n")
        _on(machine, on=False)

    monkeypatch.setattr(power, "spawn", ends)
    monkeypatch.setattr(power, "START_TIMEOUT_S", 0.05)
    with pytest.raises(LabError, match="no such bridge"):
        power.power_on(machine, Spec.parse(SPEC))


def test_a_guest_without_network_is_on_and_has_no_address(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _on(machine, on=True)
    monkeypatch.setattr(guest, "network", lambda _: None)
    assert power.power_on(machine, Spec.parse(SPEC), power.Timeouts(0.05, 0.05)) is None


def test_a_guest_that_does_not_shut_down_exits_3(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power, "shut_down", lambda _: False)
    assert entry.act(machine.instance, "shutdown", machine.name) == (entry.DID_NOT_STOP, None)


def test_shutting_down_what_is_off_is_done(machine: Machine) -> None:
    assert power.shut_down(machine)


def test_destroy_leaves_nothing(machine: Machine) -> None:
    machine.write(Spec.parse(SPEC), "")
    _on(machine, on=False)
    (machine.group.path / "cgroup.events").unlink()
    power.destroy(machine)
    assert not machine.folder.exists()
    power.destroy(machine)


def test_an_error_goes_to_standard_error(
    instance: Instance, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert entry.main(["--instance", str(instance.root), "on", "lab-chat-01"]) == 4
    captured = capsys.readouterr()
    assert "HOOK_INPUT_INVALID" in captured.err
    assert captured.out == ""


def test_the_guests_first_process_is_found_by_its_namespace(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proc = tmp_path / "proc"
    for pid, spaces, parent, comm in [
        (100, "100", 1, "sh"),
        (101, "101", 100, "systemd-nspawn"),
        (102, "102 1", 101, "systemd"),
        (103, "103 40 1", 102, "conmon"),
    ]:
        (proc / str(pid)).mkdir(parents=True)
        (proc / str(pid) / "status").write_text(f"PPid:\t{parent}\nNSpid:\t{spaces}\n")
        (proc / str(pid) / "comm").write_text(comm + "\n")
    monkeypatch.setattr(guest, "PROC", proc)
    machine.group.create()
    (machine.group.path / "cgroup.procs").write_text("103\n100\n101\n102\n")
    assert guest.init_pid(machine) == 102
    assert guest.nspawn_pid(machine) == 101


def test_the_record_is_json_with_every_field(machine: Machine) -> None:
    machine.write(Spec.parse(SPEC), "")
    assert set(json.loads(machine.record.read_text())) == set(SPEC)


@pytest.mark.parametrize(
    ("line", "listens"),
    [
        ("  0: 00000000:0016 00000000:0000 0A 00000000:00000000", True),
        ("  0: 00000000:0017 00000000:0000 0A 00000000:00000000", False),
        ("  0: 1501000A:0016 0101000A:C350 01 00000000:00000000", False),
    ],
)
def test_a_guest_has_settled_when_ssh_listens_and_the_boot_is_through(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    line: str,
    listens: bool,
) -> None:
    proc = tmp_path / "proc"
    (proc / "7" / "net").mkdir(parents=True)
    (proc / "7" / "net" / "tcp").write_text(f"  sl  local_address\n{line}\n")
    monkeypatch.setattr(guest, "PROC", proc)
    monkeypatch.setattr(guest, "init_pid", lambda _: 7)
    run = proc / "7" / "root/run"
    (run / "cloud-init").mkdir(parents=True)
    assert not guest.has_settled(machine), "cloud-init has not come to its end"
    (run / "cloud-init/result.json").touch()
    assert guest.has_settled(machine) is listens
    (run / "nologin").touch()
    assert not guest.has_settled(machine), "nobody may log in yet"
