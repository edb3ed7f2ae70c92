"""vCenter as a world has it: hosts, VMs, rules, DRS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from permafrost.errors import Failed, Problem
from permafrost.planning.cluster import DatastoreFacts, LicenseFacts, TemplateFacts
from permafrost.planning.ownership import attributes_of, category_name, override_of, tag_name
from permafrost.planning.slots import Slot
from permafrost.planning.snapshot import Inventory, RuleFacts, VmFacts
from permafrost.topology import edges, nodes, replicas, rule_name
from tests.fakes import drs
from tests.fakes.machine import Machine
from tests.fakes.world import AS_THE_ADAPTER, World


class FakeHypervisor:
    def __init__(self, world: World) -> None:
        self.world = world

    def observe(self) -> Inventory:
        if self.world.vcenter_down:
            raise Failed(
                Problem("VCENTER_UNREACHABLE", "vcenter does not answer", hint=AS_THE_ADAPTER)
            )
        owners = {(m.host, g): m.name for m in self.world.machines.values() for g in m.gpus}
        hosts = tuple(
            replace(
                h,
                gpus=tuple(
                    replace(g, used_by=owners.get((h.name, g.address), "")) for g in h.gpus
                ),
            )
            for h in self.world.hosts.values()
        )
        vms = tuple(
            VmFacts(
                m.name,
                f"vm-{m.name}",
                f"uuid-{m.name}",
                m.host,
                m.is_on,
                m.gpus,
                is_connected=self.world.hosts[m.host].connected,
                memory_mib=4096,
                memory_reservation_mib=4096 if m.is_reserved else 0,
                is_reservation_locked=m.is_reserved,
                **self._own(m),
            )
            for m in self.world.machines.values()
        )
        rules = tuple(
            RuleFacts(
                rule_name(self.world.site, e),
                e not in self.world.rules_off,
                True,
                frozenset(n.name for n in group),
            )
            for e, group in {
                **{e: replicas(self.world.site, e) for e in self.world.site.inference},
                "edge": edges(self.world.site),
            }.items()
            if len(group) > 1
        )
        return Inventory(
            hosts,
            vms,
            rules,
            self.world.cluster,
            datastores=(
                DatastoreFacts(
                    "datastore1", self.world.free_gib, 4096, True, frozenset(self.world.hosts)
                ),
            ),
            networks=frozenset({"site-network"}),
            templates=(TemplateFacts("debian-13", 20, "efi", "vmx-21"),),
            licenses=(LicenseFacts("esx.enterprisePlus", "Enterprise Plus", frozenset({"drs"})),),
        )

    def _own(self, machine: Machine) -> dict[str, Any]:
        wanted = override_of(Slot(machine.host, "", machine.gpus))
        drs, ha = machine.overrides or ((wanted.drs, wanted.ha) if wanted else ("", ""))
        node = next((n for n in nodes(self.world.site) if n.name == machine.name), None)
        marks = attributes_of(self.world.site, node) if node and machine.is_marked else {}
        return {"drs_override": drs, "ha_override": ha, "attributes": tuple(marks.items())}

    def tagged(self, category: str) -> dict[str, frozenset[str]]:
        names = {n.name: tag_name(self.world.site, n) for n in nodes(self.world.site)}
        return {
            f"vm-{m.name}": frozenset({names[m.name]})
            for m in self.world.machines.values()
            if m.is_marked and m.name in names and category == category_name(self.world.site)
        }

    def mark(self, vm: str, *, category: str, tag: str, attributes: Mapping[str, str]) -> None:
        def do() -> None:
            self.world.machines[vm].is_marked = True

        self.world.effect("mark", vm, do)

    def power_on(self, vm: str, *, deadline_s: float) -> None:
        self.world.effect("power-on", vm, lambda: self.world.power_on(vm))

    def shut_down(self, vm: str, *, deadline_s: float) -> None:
        self.world.effect("shut-down", vm, lambda: self.world.power_off(vm))

    def power_off(self, vm: str, *, deadline_s: float) -> None:
        self.world.effect("power-off", vm, lambda: self.world.power_off(vm))

    def move(self, vm: str, host: str, *, deadline_s: float) -> None:
        if not self.world.hosts[host].is_usable:
            raise Failed(
                Problem("VCENTER_TASK_REFUSED", "that host takes none", vm, AS_THE_ADAPTER)
            )

        def do() -> None:
            if not drs.brings_back(self.world, self.world.machines[vm], host):
                self.world.machines[vm].host = host

        self.world.effect("move", vm, do)

    def enter_maintenance(self, host: str, *, deadline_s: float) -> None:
        if self.world.hosts[host].connected:
            drs.empties(self.world, host)
        running = [m.name for m in self.world.machines.values() if m.host == host and m.is_on]
        if running or not self.world.hosts[host].connected:
            raise Failed(
                Problem("MAINTENANCE_DEADLINE", f"on it run {running}", host, AS_THE_ADAPTER)
            )
        self._set_mode(host, is_in=True)

    def exit_maintenance(self, host: str, *, deadline_s: float) -> None:
        if not self.world.hosts[host].connected:
            raise Failed(Problem("VCENTER_TASK_REFUSED", "not connected", host, AS_THE_ADAPTER))
        self._set_mode(host, is_in=False)

    def _set_mode(self, host: str, *, is_in: bool) -> None:
        def do() -> None:
            facts = self.world.hosts[host]
            self.world.hosts[host] = replace(facts, in_maintenance=is_in)

        self.world.effect("enter-maintenance" if is_in else "exit-maintenance", host, do)
