"""The folder that one Ansible run reads: inventory, variables, settings and the node's code.

``<state>/ansible/<node>/``. Everything is private; secret variables lie in a file of their own.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permafrost.adapters.ansible.fingerprint import content_files
from permafrost.adapters.ansible.variables import Variables
from permafrost.pki import SshKey
from permafrost.pki.files import private_folder, write_whole
from permafrost.topology import Node

KEPT_RUNS = 5
SSH_USER = "permafrost"
PACKAGE = "permafrost-node.tar"
_PASSED_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER")


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of one node's runs."""

    folder: Path
    node: Node

    def prepare(self, source: Path, variables: Variables, key: SshKey, control: Path) -> None:
        """Write everything that a run reads. ``control`` holds the run's SSH connection."""
        private_folder(self.folder)
        # ansible-runner leaves a run's arguments there and would use them again: after one check,
        # every later run would be a check too.
        remove(self.folder / "env")
        self._write("inventory/hosts.json", _inventory(self.node, key))
        self._write(f"inventory/host_vars/{self.node.name}/plain.json", self._plain(variables))
        self._write(f"inventory/host_vars/{self.node.name}/secret.json", variables.secret)
        write_whole(
            self.folder / PACKAGE, package_archive(source / "permafrost" / "node"), mode=0o600
        )
        self._write("environment.json", _settings(source, self.folder, control))

    def environment(self) -> dict[str, str]:
        """Return the environment of the run: Ansible's settings and nothing secret of ours."""
        kept = {name: os.environ[name] for name in _PASSED_ENVIRONMENT if name in os.environ}
        settings: dict[str, str] = json.loads((self.folder / "environment.json").read_text())
        return {**kept, **settings}

    def _plain(self, variables: Variables) -> dict[str, Any]:
        return {**variables.plain, "permafrost_node_package": str(self.folder / PACKAGE)}

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        path = self.folder / name
        private_folder(path.parent)
        write_whole(path, json.dumps(content, indent=1, sort_keys=True).encode(), mode=0o600)


def control_folder() -> Path:
    """Return a fresh private folder for one run's SSH connection; its path must be short.

    A run never takes over the connection of an earlier one: the VM behind it may be another now.
    """
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="pf-", dir=base if len(base) < 60 else "/tmp"))


def remove(folder: Path) -> None:
    """Remove a folder that an earlier run left."""
    shutil.rmtree(folder, ignore_errors=True)


def package_archive(folder: Path) -> bytes:
    """Return the node service's code as an archive that is equal for equal code."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        root = tarfile.TarInfo("permafrost_node")
        root.type, root.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(root)
        for file in content_files(folder):
            entry = tarfile.TarInfo(f"permafrost_node/{file.relative_to(folder)}")
            data = file.read_bytes()
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _inventory(node: Node, key: SshKey) -> dict[str, Any]:
    options = {
        # Known by its name, as everywhere else: an address may pass to another node.
        "HostKeyAlias": node.name,
        "GlobalKnownHostsFile": "none",
        "UserKnownHostsFile": str(key.known_hosts_path),
        "StrictHostKeyChecking": "accept-new",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PreferredAuthentications": "publickey",
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
    }
    host = {
        "ansible_host": str(node.address),
        "ansible_user": SSH_USER,
        "ansible_ssh_private_key_file": str(key.private_path),
        "ansible_ssh_common_args": " ".join(
            ["-F none", *(f"-o {name}={value}" for name, value in options.items())]
        ),
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    return {str(node.tier): {"hosts": {node.name: host}}}


def _settings(source: Path, folder: Path, control: Path) -> dict[str, str]:
    return {
        "ANSIBLE_CONFIG": str(source / "playbooks" / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control),
        "PYTHONUNBUFFERED": "1",
    }
