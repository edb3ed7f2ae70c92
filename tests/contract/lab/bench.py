"""A light lab: vCenter, registry and package source, and VMs of the base image; no Triton.

Machines are made as an orchestrator makes them, straight at vCenter; a base-image machine boots
in about two seconds.
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pyVim.connect import SmartConnect
from pyVmomi import vim, vmodl

from lab.build import parts
from lab.faults import apply as faults
from lab.faults import targets
from lab.hypervisor import guest
from lab.hypervisor.machine import Machine
from lab.instance.allocate import ensure_instance
from lab.instance.model import CHECKOUT, Instance
from lab.instance.up import set_base_image
from lab.instance.waiting import wait_until
from lab.services import packages, registry, vcenter

T = TypeVar("T")
TASK_TIMEOUT_S = 180.0
DISK_KEY = 2001


def until(what: str, condition: Callable[[], T | None], timeout_s: float = 30.0) -> T:
    """Wait for a condition; fail naming it."""
    found = wait_until(condition, timeout_s, 0.05)
    assert found, f"not within {timeout_s:.0f} s: {what}"
    return found


def clean(root: Path) -> None:
    """Remove a lab as ``down`` does without an environment, and see that nothing is left."""
    argv = ["/usr/bin/python3", "-S", "-m", "lab.cleanup", "--instance", str(root)]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert leftovers(root) == []


def leftovers(root: Path) -> list[str]:
    """Return what is left of a lab on this Linux machine."""
    listings = {
        "links": ["ip", "-o", "link"],
        "walls": ["nft", "list", "tables"],
        "mounts": ["cat", "/proc/mounts"],
        "groups": [
            "find",
            "/sys/fs/cgroup",
            "-maxdepth",
            "3",
            "-path",
            f"*/permafrost/{root.name}*",
        ],
        "processes": ["ps", "-eo", "args"],
    }
    found = [] if not root.exists() else [str(root)]
    for argv in listings.values():
        shown = subprocess.run(argv, capture_output=True, text=True, timeout=30).stdout
        marks = (
            f"v{root.name}-",
            f"pf{root.name}",
            f"pf-{root.name}-",
            f"{root}/",
            f"permafrost/{root.name}",
        )
        found += [line for line in shown.splitlines() if any(m in line for m in marks)]
    return found


@dataclass
class Bench:
    """The light lab, and vCenter as an administrator drives it."""

    instance: Instance
    vcenter_program: Path
    session: Any = None
    addresses: dict[str, int] = field(default_factory=dict)

    @classmethod
    def start(cls, root: Path) -> Bench:
        """Start the servers of a lab in a folder."""
        instance = ensure_instance(root)
        set_base_image(instance, parts.path("base-image") / "rootfs")
        program = parts.path("vcenter") / "bin" / "labvcenter"
        packages.ensure(instance, parts.path("packages"))
        registry.ensure(instance)
        vcenter.ensure(instance, program)
        return cls(instance, program)

    def set_ha(self, *, enabled: bool) -> None:
        """Switch vSphere HA of the cluster on or off."""
        spec = vim.cluster.ConfigSpecEx(dasConfig=vim.cluster.DasConfigInfo(enabled=enabled))
        cluster = self.every(vim.ClusterComputeResource)[0]
        self.done(cluster.ReconfigureComputeResource_Task(spec, True))

    @property
    def content(self) -> Any:
        """vCenter's content on a session that works, also after vCenter was restarted."""
        try:
            return self.session.RetrieveContent()
        except (AttributeError, OSError, vmodl.MethodFault):
            self.session = SmartConnect(
                host=self.instance.gateway,
                port=self.instance.allocation.vcenter_port,
                user=vcenter.USER,
                pwd=(self.instance.vcenter_dir / "password").read_text().strip(),
                sslContext=ssl.create_default_context(cafile=str(self.instance.ca_dir / "ca.pem")),
                httpConnectionTimeout=10,
            )
            return self.session.RetrieveContent()

    def every(self, kind: Any) -> list[Any]:
        """Return every object of a kind."""
        content = self.content
        view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
        try:
            return list(view.view)
        finally:
            view.Destroy()

    def find(self, kind: Any, name: str) -> Any:
        """Return an object by its name."""
        return next(o for o in self.every(kind) if o.name == name)

    def vm(self, name: str) -> Any:
        """Return a VM."""
        return self.find(vim.VirtualMachine, name)

    def done(self, task: Any, timeout_s: float = TASK_TIMEOUT_S) -> Any:
        """Wait for a task; return its result. Raises the fault of one that failed."""
        deadline = time.monotonic() + timeout_s
        while (info := task.info).state not in ("success", "error"):
            assert time.monotonic() < deadline, f"{info.descriptionId} does not end"
            time.sleep(0.05)
        if info.state == "error":
            raise info.error
        return info.result

    def make(
        self,
        name: str,
        host: str,
        *,
        memory_mib: int = 512,
        data_gib: int = 0,
        encoding: str = "base64",
        encode: Callable[[bytes], str] = lambda raw: base64.b64encode(raw).decode(),
        userdata: str = "#cloud-config\n{}\n",
    ) -> Machine:
        """Clone a VM from the template onto a host and power it on."""
        self.addresses.setdefault(name, 100 + len(self.addresses))
        values = {"metadata": self.metadata(name), "userdata": userdata}
        extra = {}
        for key, text in values.items():
            extra[f"guestinfo.{key}"] = encode(text.encode())
            extra[f"guestinfo.{key}.encoding"] = encoding
        config = vim.vm.ConfigSpec(
            memoryMB=memory_mib,
            numCPUs=1,
            extraConfig=[vim.option.OptionValue(key=k, value=v) for k, v in extra.items() if v],
            deviceChange=[_disk(data_gib)] if data_gib else [],
        )
        cluster = self.every(vim.ClusterComputeResource)[0]
        place = vim.vm.RelocateSpec(
            pool=cluster.resourcePool, host=self.find(vim.HostSystem, host)
        )
        spec = vim.vm.CloneSpec(location=place, config=config, powerOn=True)
        folder = self.every(vim.Datacenter)[0].vmFolder
        self.done(self.vm("debian-13").CloneVM_Task(folder, name, spec))
        return self.machine(name)

    def metadata(self, name: str) -> str:
        """Return the guestinfo metadata that gives a machine its address and name."""
        card = {
            "match": {"name": "[eh]*"},
            "dhcp4": False,
            "addresses": [f"{self.address(name)}/24"],
            "routes": [{"to": "0.0.0.0/0", "via": self.instance.gateway}],
        }
        return json.dumps(
            {
                "instance-id": name,
                "local-hostname": name,
                "network": {"version": 2, "ethernets": {"[eh]*": card}},
            }
        )

    def address(self, name: str) -> str:
        """Return the address that a machine was given."""
        return str(self.instance.network.network_address + self.addresses[name])

    def machine(self, name: str) -> Machine:
        """Return the machine behind a VM."""
        return Machine(self.instance, name)

    def inside(self, name: str, *argv: str) -> str:
        """Run a command in a guest."""
        return targets.inside(self.machine(name), *argv)

    def power_on(self, name: str) -> None:
        """Switch a VM on where it is off."""
        if self.vm(name).runtime.powerState != "poweredOn":
            self.done(self.vm(name).PowerOnVM_Task(None))

    def destroy(self, name: str) -> None:
        """Switch off and destroy a VM."""
        if self.vm(name).runtime.powerState == "poweredOn":
            self.done(self.vm(name).PowerOffVM_Task())
        self.done(self.vm(name).Destroy_Task())

    def heal(self, fault_id: str) -> None:
        """Heal one fault, and see that it was that one."""
        assert [f.id for f in faults.heal(self.instance, fault_id)] == [fault_id]

    def views(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return which VMs are on by vCenter's view, and which machines run."""
        seen = {
            vm.name: "on" if vm.runtime.powerState == "poweredOn" else "off"
            for vm in self.every(vim.VirtualMachine)
            if not vm.config.template
        }
        real = {name: "on" if self.machine(name).is_on else "off" for name in seen}
        running = self.instance.machines_dir.glob("*/machine.json")
        strays = {r.parent.name: "stray" for r in running if r.parent.name not in seen}
        return seen, {**real, **strays}

    def agree(self, timeout_s: float = 60.0) -> bool:
        """Wait until both views are the same and every guest that is on has its address."""

        def same() -> bool:
            seen, real = self.views()
            return seen == real and all(
                self.vm(name).guest.ipAddress == self.address(name)
                for name, power in seen.items()
                if power == "on" and name in self.addresses
            )

        return bool(wait_until(same, timeout_s, 0.3))

    def settled(self, name: str) -> bool:
        """Whether a guest is up."""
        return self.machine(name).is_on and guest.network(self.machine(name)) is not None


def _disk(gib: int) -> Any:
    disk = vim.vm.device.VirtualDisk(
        key=-1,
        controllerKey=1000,
        unitNumber=1,
        capacityInKB=gib << 20,
        backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
            diskMode="persistent", thinProvisioned=True, fileName=""
        ),
    )
    return vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=disk)
