"""The role's tasks about the time on a Debian of the lab, over SSH; then chrony as it left it.

Run by ``test_time.py`` in namespaces of its own, with the folder to work in; prints JSON. The
machine is the lab's base image under a layer in memory, with the lab's packages, in a network of
its own. systemd does not run in it. Whatever is started there lacks the right to set the clock,
which is this computer's.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lab.build import parts

ROOT = Path(__file__).resolve().parents[3]
PORT = 2222
SERVER = "127.0.0.2"
NO_CLOCK = ("setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time", "--")
SERVES = f"""
local stratum 3
allow 127.0.0.0/8
bindaddress {SERVER}
pidfile /run/server.pid
bindcmdaddress /
cmdport 0
user root
"""
RECAP = re.compile(r"^n\s+:.*changed=(\d+).*failed=(\d+)", re.MULTILINE)


def run(*command: str | Path, check: bool = True, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run a command; return it with its output."""
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, timeout=300, check=False, **how
    )
    if check and done.returncode:
        raise SystemExit(f"{command[0]}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done


class Machine:
    """A root to work in; everything of it ends with this process's namespaces."""

    def __init__(self, folder: Path) -> None:
        self.root, scratch = folder / "root", folder / "scratch"
        for path in (self.root, scratch):
            path.mkdir()
        run("mount", "-t", "tmpfs", "tmpfs", scratch)
        for name in ("upper", "work"):
            (scratch / name).mkdir()
        layers = {
            "lowerdir": parts.path("base-image") / "rootfs",
            "upperdir": scratch / "upper",
            "workdir": scratch / "work",
        }
        options = ",".join(f"{key}={value}" for key, value in layers.items())
        run("mount", "-t", "overlay", "overlay", "-o", options, self.root)
        run("mount", "-t", "proc", "proc", self.root / "proc")
        run("mount", "-t", "tmpfs", "tmpfs", self.root / "run")
        run("mount", "--rbind", "/dev", self.root / "dev")
        packages = self.root / "packages"
        packages.mkdir()
        run("mount", "--bind", "-o", "ro", parts.path("packages"), packages)
        run("ip", "link", "set", "lo", "up")
        self.key = scratch / "key"

    def inside(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the root, without the right to set the clock."""
        return run(*NO_CLOCK, "chroot", self.root, *command, check=check)

    def serve_ssh(self) -> None:
        """Let root in by a key, and give apt the lab's packages."""
        suite = parts.versions()["debian"]["guest"]
        source = f"deb [signed-by=/packages/key.asc] file:/packages {suite} main\n"
        (self.root / "etc/apt/sources.list").write_text(source)
        self.inside("apt-get", "--quiet", "update")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        home = self.root / "root/.ssh"
        home.mkdir(mode=0o700, exist_ok=True)
        (home / "authorized_keys").write_text(self.key.with_suffix(".pub").read_text())
        (self.root / "run/sshd").mkdir()
        self.inside("ssh-keygen", "-A")
        self.inside("usermod", "--password", "*", "root")
        self.inside("/usr/sbin/sshd", "-o", "PermitRootLogin=yes", "-o", "UsePAM=no",
                    "-o", "AllowUsers=root", "-p", str(PORT))  # fmt: skip

    def play(self, folder: Path, servers: Sequence[str], *more: str) -> tuple[int, int]:
        """Run the role's tasks; return how many changed something and how many failed."""
        role = {"name": "base", "tasks_from": "time.yml"}
        values = {
            "__base_container": {"rc": 0},
            "base_time_servers": list(servers),
            "base_templates": str(ROOT / "templates"),
            **dict.fromkeys(
                (f"base_{k}" for k in ("node_name", "package_source_url", "package_source_suite",
                                       "package_source_key")),
                "unused",
            ),
        }  # fmt: skip
        task = {"ansible.builtin.include_role": role, "vars": values}
        book = folder / "play.yml"
        book.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
        login = {
            "ansible_host": "127.0.0.1",
            "ansible_port": PORT,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": "-o StrictHostKeyChecking=no "
            "-o UserKnownHostsFile=/dev/null",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "playbooks/ansible.cfg"),
            "ANSIBLE_ROLES_PATH": str(ROOT / "playbooks/roles"),
            # A shared connection would outlive Ansible, and hold the pipe that is read to its end.
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=no",
            "HOME": str(folder),
        }
        program = Path(sys.executable).with_name("ansible-playbook")
        done = run(program, "-i", "n,", "-e", json.dumps(login), *more, book,
                   env=environment, cwd=ROOT / "playbooks")  # fmt: skip
        found = RECAP.search(done.stdout)
        assert found is not None, done.stdout
        return int(found[1]), int(found[2])


def main(folder: Path) -> None:
    """Configure, look, and let chrony follow a server."""
    machine = Machine(folder)
    machine.serve_ssh()
    seen: dict[str, Any] = {
        "checked": machine.play(folder, [SERVER], "--check"),
        "first": machine.play(folder, [SERVER]),
        "second": machine.play(folder, [SERVER]),
        "settings": machine.inside("chronyd", "-p", "-f", "/etc/chrony/chrony.conf").stdout,
        "enabled": machine.inside("systemctl", "is-enabled", "chrony.service").stdout.strip(),
        "options": (machine.root / "etc/default/chrony")
        .read_text()
        .partition('"')[2]
        .strip('"\n'),
    }
    (machine.root / "run/server.conf").write_text(SERVES)
    machine.inside("chronyd", "-x", "-f", "/run/server.conf")
    machine.inside("install", "-d", "-o", "_chrony", "-m", "0750", "/run/chrony")
    seen["without -x"] = machine.inside("chronyd", check=False).stderr
    machine.inside("chronyd", *seen["options"].split())
    machine.inside("chronyc", "waitsync", "30", "0", "0", "1")
    seen["tracking"] = machine.inside("chronyc", "-n", "-c", "tracking").stdout
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
