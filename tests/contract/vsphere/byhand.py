"""A small site's VMs, made and changed by hand through pyvmomi at a vCenter of one's own."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lab.provider.vsphere import vim
from permafrost.adapters.vsphere import VcenterSession, VsphereHypervisor
from permafrost.planning.ownership import PINNED, attributes_of, category_name, tag_name
from permafrost.planning.placement import Placement, Slot
from permafrost.site.load import LoadedSite
from permafrost.site.model import Site
from permafrost.topology import nodes, replicas
from tests.contract.provider.administrator import PASSWORD, USER
from tests.contract.provider.vcenter import VCenter
from tests.contract.vsphere.person import KIND, MEMORY_MIB, Person
from tests.fakes.site import document

GPUS = ("0000:3b:00.0", "0000:d8:00.0")


def site_at(port: int) -> Site:
    """A site of three replicas with a GPU each and one edge."""
    values = document()
    values["vcenter"] |= {
        "server": f"127.0.0.1:{port}",
        "user": USER,
        "password_file": "password",
        "allow_unverified_ssl": True,
        "datacenter": "DC0",
        "cluster": "DC0_C0",
        "datastore": "LocalDS_0",
        "network": "DC0_DVPG0",
        "template": "template-linux",
    }
    values["vcenter"].pop("ca_file", None)
    chat = values["inference"]["chat"]
    chat["gpu"] = {"mode": "passthrough", "vendor_device": KIND, "count": 1, "mmio_gib": 256}
    chat["vm"] = {"cpus": 4, "memory_mib": MEMORY_MIB, "disk_gib": 20}
    values["inference"] = {"chat": {**chat, "replicas": 3, "min_ready": 2}}
    return Site.model_validate(values)


def two_gpus(configuration: dict[str, Any]) -> None:
    """Give each host two GPUs."""
    for host in configuration["hosts"]:
        kind = {"vendor": KIND[:4], "device": KIND[5:], "class": "0302", "name": "H100 SXM5 80GB"}
        host["gpus"] = [{**kind, "id": address} for address in GPUS]


class ByHand(Person):
    """One vCenter, and what a person does there."""

    def __init__(self, program: Path, folder: Path, *, hosts: str = "DC0_C0_H{}") -> None:
        self._hosts = hosts
        vcenter = VCenter(program, self._shape)
        super().__init__(vcenter, site_at(vcenter.port), hosts)
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        own = VcenterSession(LoadedSite(self.site, folder / "site.yaml"))
        self.hypervisor = VsphereHypervisor(own, "DC0", "DC0_C0")

    def _shape(self, configuration: dict[str, Any]) -> None:
        two_gpus(configuration)
        for index, host in enumerate(configuration["hosts"]):
            host["name"] = self.host_name(index)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.vcenter.__exit__(kind, error, trace)

    def deploy(self) -> Placement:
        """Make the site's VMs and rule as a deployment leaves them; return the placement."""
        slots = {}
        for index, node in enumerate(n for n in nodes(self.site) if n.endpoint):
            host = self.find(vim.HostSystem, self.host_name(index))
            slots[node.name] = Slot(str(host.name), str(host._moId), (GPUS[0],))
            self.make(node.name, index, (GPUS[0],))
            self.power_on(node.name)
            self.override_drs(node.name, PINNED.drs)
            self.override_ha(node.name, PINNED.ha)
        (edge,) = (n for n in nodes(self.site) if not n.endpoint)
        host = self.find(vim.HostSystem, self.host_name(3))
        slots[edge.name] = Slot(str(host.name), str(host._moId))
        self.make(edge.name, 3)
        self.power_on(edge.name)
        self.rule("add", [n.name for n in replicas(self.site, "chat")])
        self.define_marks()
        for node in nodes(self.site):
            self.hypervisor.mark(
                node.name,
                category=category_name(self.site),
                tag=tag_name(self.site, node),
                attributes=attributes_of(self.site, node),
            )
        return Placement(slots)
