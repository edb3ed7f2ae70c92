"""What the bench changes on a member comes back, wherever it was broken off.

The scripts run for real, on a folder; ``systemctl`` and ``systemd-run`` write down how they are
called.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from lab.errors import LabError
from tests.bench import milvus_members
from tests.bench.milvus_defaults import MARK
from tests.bench.milvus_members import (
    LEADERS,
    LEADERS_FILE,
    SETTINGS,
    SYSCTLS,
    WATCH,
    Member,
    defaults_on,
    restore,
)
from tests.golden.ansible.rendering import ROLES, ROOT
from tests.unit.bench.test_milvus_defaults import ETCD, SHIPPED, TUNED

FILES = ROOT / "tests/golden/ansible/files"
UNITS = {"milvus-coordinators": "milvus-standby", "milvus-proxies": "milvus-proxy"}
ENVIRONMENT = ("GRPC_CLIENT_MAXMAXATTEMPTS",)
SERVICES = "milvus-coordinators.service milvus-proxies.service"
PATH = re.compile(r"(?<![\w.\\])/(etc|var)/")
GOLDEN = {
    SETTINGS: "milvus.yaml",
    SYSCTLS: "lost-peers.conf",
    **{milvus_members.unit_file(u): f"{name}.container" for u, name in UNITS.items()},
}
RESTORED = [
    "restart systemd-sysctl.service",
    "daemon-reload",
    f"kill --signal=SIGKILL {SERVICES}",
    f"start --no-block {SERVICES}",
    f"enable --quiet --now {WATCH}",
    f"enable --quiet --now {LEADERS}",
]


class Machine:
    """The files of a member in a folder. ``broken_at``: which script does not run to its end."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ran, self.broken_at = folder, 0, 0
        (folder / "bin").mkdir(parents=True)
        self.program("systemctl", f'echo "$@" >> {folder}/calls')
        (folder / "shipped.yaml").write_text(yaml.safe_dump(SHIPPED))
        self.program("systemd-run", f'case "$*" in *podman*) cat {folder}/shipped.yaml;; esac')
        for path, golden in GOLDEN.items():
            target = self.at(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text((FILES / golden).read_text())
            target.chmod(0o640)
        self.at(LEADERS_FILE).parent.mkdir(parents=True)
        self.at(LEADERS_FILE).touch()

    def program(self, name: str, text: str) -> None:
        program = self.folder / "bin" / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    def at(self, path: str) -> Path:
        return self.folder / path.removeprefix("/")

    def sh(self, script: str, stdin: str | None) -> str:
        self.ran += 1
        script, is_killed = PATH.sub(rf"{self.folder}/\1/", script), self.ran == self.broken_at
        if is_killed:  # in the middle: half of its commands
            commands = script.split("; ")
            script = "; ".join(commands[: len(commands) // 2]) or "true"
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-ec", script], input=stdin, capture_output=True, text=True,
            env={"PATH": path}, check=False,
        )  # fmt: skip
        if is_killed or done.returncode:
            raise LabError("LAB_COMMAND_FAILED", "killed" if is_killed else done.stderr, "-")
        return done.stdout

    @property
    def calls(self) -> list[str]:
        log = self.folder / "calls"
        return log.read_text().splitlines() if log.exists() else []

    def forget(self) -> None:
        (self.folder / "calls").unlink(missing_ok=True)

    def is_ours(self) -> bool:
        texts = {path: (FILES / name).read_text() for path, name in GOLDEN.items()}
        return all(self.at(path).read_text() == text for path, text in texts.items())

    @property
    def left(self) -> list[Path]:
        """What lies there that was not there before."""
        known = {self.at(path) for path in (*GOLDEN, LEADERS_FILE)}
        found = (p for place in ("etc", "var") for p in self.folder.glob(f"{place}/**/*"))
        return sorted(p for p in found if p.is_file() and p not in known)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "one")


def member(machine: Machine, name: str = "lab-knowledge-01") -> Member:
    return Member(name, machine.sh, tuple(UNITS))


def test_defaults_are_on_for_the_block_and_ours_after_it(machine: Machine) -> None:
    with defaults_on([member(machine)], ETCD, ENVIRONMENT) as tuned:
        assert tuned == {
            **TUNED,
            "etcd/endpoints": (ETCD, "127.0.0.1:12379"),
            "environment GRPC_CLIENT_MAXMAXATTEMPTS": ("(not set)", "12"),
            "unit permafrost-knowledge-watch wait-for-first 30": ("(not set)", "before it starts"),
            "unit permafrost-knowledge-leaders wait 60": ("(not set)", "before it starts"),
            **{
                f"unit permafrost-knowledge-watch ended {name}": (
                    "(not set)",
                    "after it has ended",
                )
                for name in ("milvus-proxies", "milvus-coordinators")
            },
            "kernel net.ipv4.tcp_retries2": ("15", "3"),
            "kernel net.ipv4.tcp_syn_retries": ("6", "1"),
            "kernel net.ipv4.tcp_keepalive_time": ("7200", "2"),
            "kernel net.ipv4.tcp_keepalive_intvl": ("75", "1"),
            "kernel net.ipv4.tcp_keepalive_probes": ("9", "3"),
            "our watch": ("off", "on"),
        }
        written = {path: machine.at(path).read_text() for path in GOLDEN}
        assert all(text.splitlines()[0] == MARK for text in written.values())
        assert yaml.safe_load(written[SETTINGS])["common"]["session"]["ttl"] == 30
        assert "tcp_retries2 = 15" in written[SYSCTLS]
        assert "MAXMAXATTEMPTS" not in "".join(written.values())
        assert {machine.at(p).stat().st_mode & 0o777 for p in written} == {0o640}
        assert machine.calls == [
            f"disable --quiet --now {WATCH}",
            f"disable --quiet --now {LEADERS}",
            "restart systemd-sysctl.service",
            "daemon-reload",
            f"kill --signal=SIGKILL {SERVICES}",
            f"start --no-block {SERVICES}",
        ]
        machine.forget()
    assert machine.is_ours()
    assert machine.left == []
    assert machine.calls == RESTORED


def test_a_version_whose_proxies_ask_by_themselves_has_nobody_to_stop(machine: Machine) -> None:
    machine.at(LEADERS_FILE).unlink()
    proxies = machine.at(milvus_members.unit_file("milvus-proxies"))
    kept = [line for line in proxies.read_text().splitlines() if " wait 60" not in line]
    proxies.write_text("\n".join(kept))
    with defaults_on([member(machine)], ETCD, ENVIRONMENT):
        pass
    assert not [call for call in machine.calls if LEADERS in call]
    assert f"enable --quiet --now {WATCH}" in machine.calls


def test_ours_come_back_after_a_failure_in_the_block(machine: Machine) -> None:
    with (
        pytest.raises(RuntimeError, match="no answer"),
        defaults_on([member(machine)], ETCD, ENVIRONMENT),
    ):
        raise RuntimeError("no answer")
    assert machine.is_ours()


def scripts_of_an_installation(tmp_path: Path) -> int:
    counted = Machine(tmp_path / "counted")
    milvus_members.install(member(counted), ETCD, ENVIRONMENT)
    return counted.ran


def test_broken_off_at_any_script_ours_come_back(tmp_path: Path) -> None:
    for broken_at in range(1, scripts_of_an_installation(tmp_path) + 2):
        machine = Machine(tmp_path / str(broken_at))
        machine.broken_at = broken_at
        with (
            pytest.raises(LabError, match="killed"),
            defaults_on([member(machine)], ETCD, ENVIRONMENT),
        ):
            raise AssertionError(f"script {broken_at} was not broken off")
        assert machine.is_ours(), broken_at
        assert machine.left == [], broken_at


def kill(machine: Machine) -> None:
    """Leave everything as a ``kill -9`` would: installed, and nobody there to take it back."""
    milvus_members.install(member(machine), ETCD, ENVIRONMENT)
    machine.forget()


def test_a_second_run_after_a_kill_keeps_ours_and_not_the_defaults(machine: Machine) -> None:
    kill(machine)
    assert not machine.is_ours()
    with defaults_on([member(machine)], ETCD, ENVIRONMENT):
        pass
    assert machine.is_ours()


def test_what_was_configured_since_a_kill_is_not_overwritten(machine: Machine) -> None:
    """As ``permafrost converge`` puts it right: it writes every file whole."""
    kill(machine)
    newer = "# deployed since\n"
    machine.at(SETTINGS).write_text(newer)
    machine.at(milvus_members.unit_file("milvus-proxies")).unlink()
    restore([member(machine)])
    assert machine.at(SETTINGS).read_text() == newer
    assert not machine.at(milvus_members.unit_file("milvus-proxies")).exists()
    assert machine.at(SYSCTLS).read_text() == (FILES / "lost-peers.conf").read_text()
    assert machine.left == []


def test_a_way_back_that_was_broken_off_is_gone_again_to_its_end(machine: Machine) -> None:
    kill(machine)
    machine.broken_at = machine.ran + 1
    with pytest.raises(RuntimeError, match=r"lab-knowledge-01: .*killed"):
        restore([member(machine)])
    machine.forget()
    restore([member(machine)])
    assert machine.is_ours()
    assert machine.calls == RESTORED


def test_a_member_that_nobody_changed_is_left_alone(machine: Machine) -> None:
    restore([member(machine)])
    assert machine.calls == []


def test_one_that_cannot_be_brought_back_keeps_no_other_from_it(tmp_path: Path) -> None:
    one, other = Machine(tmp_path / "one"), Machine(tmp_path / "other")
    kill(one)
    kill(other)
    one.broken_at = one.ran + 1
    with pytest.raises(RuntimeError, match=r"not restored.*lab-knowledge-01") as caught:
        restore([member(one), member(other, "lab-knowledge-02")])
    assert "lab-knowledge-02" not in str(caught.value)
    assert other.is_ours()


def test_a_convergence_writes_each_file_whole_and_starts_the_watch() -> None:
    """What is left on a member when nobody restores it: the roles put each part of it right."""
    roles = ("milvus", "lost_peers", "knowledge_watch", "knowledge_leaders")
    text = {role: tasks(role) for role in roles}
    written = [
        task["ansible.builtin.template"]["dest"]
        for role in text.values()
        for task in role
        if "ansible.builtin.template" in task
    ]
    assert {SETTINGS, SYSCTLS, milvus_members.unit_file("{{ unit.name }}")} <= set(written)
    watch, leaders, _ = (
        task["ansible.builtin.systemd_service"]
        for role in roles[2:]
        for task in text[role]
        if "ansible.builtin.systemd_service" in task
    )
    assert (watch["name"], watch["state"], watch["enabled"]) == (WATCH, "started", True)
    assert (leaders["name"], "'started' if" in leaders["state"]) == (LEADERS, True)
    for role, handler in (("milvus", "Restart Milvus"), ("lost_peers", "Take over")):
        told = [t.get("notify", "") for t in text[role] if "ansible.builtin.template" in t]
        assert all(each.startswith(handler) for each in told), role


def tasks(role: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for file in sorted((ROLES / role / "tasks").glob("*.yml")):
        found += yaml.safe_load(file.read_text())
    return found
