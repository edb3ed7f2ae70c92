"""A machine as files: what the VM is, where its disk lies, and the command that runs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.instance import naming
from lab.instance.cgroups import Cgroup, memory_group
from lab.instance.model import Instance
from lab.instance.secrets import write_private

# Folders of the machine that lie on the outer file system: container storage needs native
# overlays, and the model store is large.
OUTER_FOLDERS = {"containers": "/var/lib/containers", "permafrost": "/var/lib/permafrost"}


@dataclass(frozen=True, slots=True)
class Spec:
    """What vCenter says about a VM when it powers it on."""

    uuid: str
    mac: str
    host: str
    memory_mib: int
    num_cpus: int = 1
    disks: tuple[dict[str, Any], ...] = ()
    extra_config: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Spec:
        """Read the hook's input. Raises LabError when a field is missing."""
        try:
            return cls(
                uuid=str(content["uuid"]),
                mac=str(content["mac"]),
                host=str(content["host"]),
                memory_mib=int(content["memory_mib"]),
                num_cpus=int(content.get("num_cpus", 1)),
                disks=tuple(content.get("disks") or ()),
                extra_config={k: str(v) for k, v in (content.get("extra_config") or {}).items()},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LabError(
                "HOOK_INPUT_INVALID",
                f"power-on input: {error!r}",
                "it needs uuid, mac, host and memory_mib",
            ) from error


@dataclass(frozen=True, slots=True)
class Machine:
    """One node of an instance."""

    instance: Instance
    name: str

    def __post_init__(self) -> None:
        if not naming.NODE_PATTERN.fullmatch(self.name):
            raise LabError(
                "MACHINE_NAME_INVALID",
                f"{self.name!r} cannot be a lab machine",
                "use a-z, 0-9 and '-', beginning with a letter",
            )

    @property
    def folder(self) -> Path:
        """All of the machine's files."""
        return self.instance.machines_dir / self.name

    @property
    def group(self) -> Cgroup:
        """The machine's identity and power switch."""
        return self.instance.machine_group(self.name)

    @property
    def memory_group(self) -> Path | None:
        """Where the machine's memory is limited on a v1 tree."""
        return memory_group(self.instance.id, self.name)

    @property
    def lock_file(self) -> Path:
        """The lock of the machine's power switch (outlives the folder)."""
        return self.instance.lock_file(f"machine-{self.name}")

    @property
    def is_on(self) -> bool:
        """Whether the machine runs."""
        return self.group.populated

    @property
    def console_log(self) -> Path:
        """What the machine wrote to its console since it was switched on."""
        return self.folder / "console.log"

    @property
    def record(self) -> Path:
        """The VM as it was when last switched on."""
        return self.folder / "machine.json"

    def spec(self) -> Spec | None:
        """Return the VM as it was when last switched on, if it ever was."""
        try:
            return Spec.parse(json.loads(self.record.read_text()))
        except (FileNotFoundError, ValueError):
            return None

    def write(self, spec: Spec, guestinfo: str) -> None:
        """Put down everything that a boot reads."""
        for name in ("upper/etc", "work", "root", "guest", *OUTER_FOLDERS):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for disk in spec.disks[1:]:
            (self.folder / "disks" / str(disk["key"])).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        write_private(self.folder / "guest" / "guestinfo.env", guestinfo)
        machine_id = self.folder / "upper/etc/machine-id"
        if not machine_id.exists():
            write_private(machine_id, spec.uuid.replace("-", "").lower() + "\n", 0o444)
        write_private(self.record, json.dumps({**asdict(spec)}, indent=1) + "\n")

    def lower(self) -> Path:
        """Return the system below the machine's changes: the one it was first started on."""
        pinned = self.folder / "lower"
        if not pinned.is_symlink():
            pinned.symlink_to((self.instance.root / "base-image").resolve())
        system = pinned.resolve()
        if not (system / "usr/bin").is_dir():
            raise LabError(
                "BASE_IMAGE_MISSING",
                f"{system} holds no system",
                "run permafrost-lab up; a machine of an older image must be destroyed first",
            )
        return system

    def command(self, spec: Spec) -> list[str]:
        """Return the systemd-nspawn command line."""
        binds = [f"{self.folder / name}:{inside}" for name, inside in OUTER_FOLDERS.items()]
        binds += [
            f"{self.folder / 'disks' / str(d['key'])}:/disks/{d['key']}" for d in spec.disks[1:]
        ]
        return [
            "systemd-nspawn",
            "--quiet",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--capability=all",
            "--console=read-only",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            f"--machine={naming.machine_name(self.instance.id, self.name)}",
            f"--hostname={self.name}",
            f"--directory={self.folder / 'root'}",
            "--network-interface=host0",
            "--bind=/dev/fuse",
            f"--bind-ro={self.folder / 'guest'}:/etc/permafrost-lab",
            *(f"--bind={bind}" for bind in binds),
        ]


def machines(instance: Instance) -> list[Machine]:
    """Return the machines that exist, by name."""
    records = sorted(instance.machines_dir.glob("*/machine.json"))
    return [Machine(instance, record.parent.name) for record in records]
