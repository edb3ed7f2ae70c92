"""An instance as data: what was allocated, and where each of its files lies."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path

from lab.errors import LabError
from lab.instance import naming
from lab.instance.cgroups import Cgroup, instance_group

CHECKOUT = Path(__file__).resolve().parents[2]
VCENTER_PORT = 8989
REGISTRY_PORT = 5000
PACKAGES_PORT = 8081


@dataclass(frozen=True, slots=True)
class Allocation:
    """What ``lab.json`` records: chosen once, kept until the instance is removed."""

    id: str
    subnet: str
    bridge: str
    gateway: str
    vcenter_port: int = VCENTER_PORT
    registry_port: int = REGISTRY_PORT
    packages_port: int = PACKAGES_PORT
    schema: int = 1

    @classmethod
    def make(cls, lab_id: str, subnet: IPv4Network) -> Allocation:
        """Return the allocation of a subnet to a lab."""
        gateway = str(subnet.network_address + 1)
        return cls(lab_id, str(subnet), naming.bridge_name(lab_id), gateway)


@dataclass(frozen=True, slots=True)
class Instance:
    """A lab: its folder and its allocation."""

    root: Path
    allocation: Allocation

    @property
    def id(self) -> str:
        """The lab's id."""
        return self.allocation.id

    @property
    def network(self) -> IPv4Network:
        """The lab's subnet."""
        return IPv4Network(self.allocation.subnet)

    @property
    def gateway(self) -> str:
        """The address of the Linux machine on the lab's bridge."""
        return self.allocation.gateway

    @property
    def site_file(self) -> Path:
        """The site file rendered for this lab."""
        return self.root / "site.yaml"

    @property
    def state_dir(self) -> Path:
        """Where Permafrost keeps its state of the lab's site."""
        return self.root / "state"

    @property
    def run_dir(self) -> Path:
        """Locks, logs and the fault log."""
        return self.root / "run"

    @property
    def vcenter_dir(self) -> Path:
        """The simulated vCenter's configuration, inventory, password and certificate."""
        return self.root / "vcenter"

    @property
    def registry_dir(self) -> Path:
        """The OCI registry's configuration, data and credentials."""
        return self.root / "registry"

    @property
    def ca_dir(self) -> Path:
        """The lab's certificate authority."""
        return self.root / "ca"

    @property
    def machines_dir(self) -> Path:
        """One folder a machine."""
        return self.root / "machines"

    @property
    def faults_file(self) -> Path:
        """The record of faults applied and healed."""
        return self.run_dir / "faults.jsonl"

    @property
    def vcenter_url(self) -> str:
        """Where the vCenter listens."""
        return f"https://{self.gateway}:{self.allocation.vcenter_port}"

    @property
    def registry_address(self) -> str:
        """host:port of the OCI registry."""
        return f"{self.gateway}:{self.allocation.registry_port}"

    @property
    def packages_url(self) -> str:
        """Where the package source listens."""
        return f"http://{self.gateway}:{self.allocation.packages_port}"

    @property
    def group(self) -> Cgroup:
        """The control group that holds everything of this lab."""
        return instance_group(self.id)

    def service_group(self, name: str) -> Cgroup:
        """Return the control group of one of the lab's own servers."""
        return Cgroup(self.group.path / naming.SERVICES_GROUP / name)

    def machine_group(self, node: str) -> Cgroup:
        """Return the control group of a machine."""
        return Cgroup(self.group.path / node)

    def lock_file(self, name: str) -> Path:
        """Return the file that guards one machine, service or the whole lab."""
        return self.run_dir / "locks" / f"{name}.lock"


def load(root: Path) -> Instance:
    """Read an instance from its folder. Raises LabError when there is none."""
    try:
        content = json.loads((root / "lab.json").read_text())
        return Instance(root.resolve(), Allocation(**content))
    except FileNotFoundError:
        raise LabError(
            "LAB_ABSENT", f"no lab in {root}", "start it with: permafrost-lab up"
        ) from None
    except (ValueError, TypeError) as error:
        raise LabError(
            "LAB_RECORD_BROKEN",
            f"{root / 'lab.json'}: {error}",
            "remove the lab with: permafrost-lab down",
        ) from error


def save(instance: Instance) -> None:
    """Write ``lab.json`` so that it is either whole or absent."""
    instance.root.mkdir(parents=True, exist_ok=True)
    target = instance.root / "lab.json"
    part = target.with_suffix(".part")
    part.write_text(json.dumps(asdict(instance.allocation), indent=2) + "\n")
    part.replace(target)


def default_root(checkout: Path = CHECKOUT) -> Path:
    """Return the folder of the lab that this checkout and PERMAFROST_LAB mean."""
    try:
        lab_id = naming.instance_id(checkout, os.environ.get("PERMAFROST_LAB"))
    except ValueError as error:
        raise LabError("LAB_ID_INVALID", str(error), "set PERMAFROST_LAB, or unset it") from error
    return checkout / ".lab" / lab_id


def current() -> Instance:
    """Return the instance of this checkout. Raises LabError when it was never made."""
    return load(default_root())
