"""Making an instance: its id, its subnet and its folders, chosen once and recorded."""

from __future__ import annotations

import json
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

from lab.errors import LabError
from lab.instance import naming, network
from lab.instance.model import Allocation, Instance, default_root, load, save
from lab.instance.spawn import locked

# One lock for all labs of this Linux machine: two that start at once must not choose one subnet.
MACHINE_LOCK = Path("/run/lock/permafrost-lab")


def recorded_subnets(folder: Path, but: str) -> set[IPv4Network]:
    """Return the subnets that the other labs beside this one have recorded."""
    found: set[IPv4Network] = set()
    for record in folder.glob("*/lab.json"):
        if record.parent.name != but:
            with suppress(ValueError, KeyError, OSError):
                found.add(IPv4Network(json.loads(record.read_text())["subnet"]))
    return found


def ensure_instance(root: Path | None = None) -> Instance:
    """Return the instance of this checkout, made where it is missing, its bridge up."""
    root = root or default_root()
    with locked(MACHINE_LOCK):
        if not (root / "lab.json").exists():
            save(_allocate(root))
        instance = load(root)
        network.ensure(instance)
    for folder in (instance.run_dir, instance.machines_dir, instance.state_dir):
        folder.mkdir(exist_ok=True)
    instance.state_dir.chmod(0o700)
    instance.group.create()
    return instance


def _allocate(root: Path) -> Instance:
    lab_id = root.name
    taken = network.networks_in_use(naming.bridge_name(lab_id))
    taken |= recorded_subnets(root.parent, lab_id)
    subnet = naming.choose_subnet(lab_id, taken)
    if subnet is None:
        raise LabError(
            "LAB_NO_SUBNET",
            "no free /24 is left in 10.64.0.0/10",
            "remove a route or another lab",
        )
    return Instance(root, Allocation.make(lab_id, subnet))
