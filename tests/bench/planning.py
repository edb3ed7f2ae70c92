"""Planning a fleet: seconds for 500 and 10,000 hosts, against a search by the solver alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from permafrost.errors import Refused
from permafrost.planning import exact, placement
from permafrost.planning.placement import plan_placement
from permafrost.planning.slots import Placement
from permafrost.planning.snapshot import GpuFacts, HostFacts
from permafrost.site.model import Site
from tests.fakes.site import small_site

KIND = "10de:2330"
GPUS = 8
ROUNDS = 3
RACK_SIZE = 20


def fleet(count: int) -> list[HostFacts]:
    """Return hosts of eight GPUs, 128 threads, 2 TiB."""
    return [
        HostFacts(
            f"esx-{i:05}",
            f"host-{i}",
            True,
            False,
            tuple(GpuFacts(f"0000:{j:02x}:00.0", KIND) for j in range(GPUS)),
            cpus=128,
            memory_mib=2 * 1024 * 1024,
        )
        for i in range(count)
    ]


def site_for(hosts: int, *, level: str = "host", fill: float = 0.9) -> Site:
    """Return a site of four endpoints of one, two and four GPUs that fill most of the fleet."""
    count = min(9999, int(hosts * fill))
    endpoints = {
        name: {
            "replicas": count,
            "min_ready": count - 1,
            "port": port,
            "gpu": {"mode": "passthrough", "vendor_device": KIND, "count": units},
            "vm": {"cpus": 16, "memory_mib": 65536},
        }
        for name, port, units in (
            ("chat", 8443, 4),
            ("pulse", 8444, 2),
            ("code", 8445, 1),
            ("embed", 8446, 1),
        )
    }
    values = small_site(**endpoints).model_dump(mode="json", by_alias=True)
    values["network"] = {
        "subnet": "10.64.0.0/12",
        "gateway": "10.64.0.1",
        "addresses": "10.64.1.0-10.66.255.0",
    }
    if level == "rack":
        values["failure_domains"] = {"level": "rack", "members_per_domain": RACK_SIZE}
        values["hosts"] = {f"esx-{i:05}": {"rack": f"rack-{i // RACK_SIZE}"} for i in range(hosts)}
    return Site.model_validate(values)


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds by the clock, and of the processor: others may use this machine too."""

    wall_s: float
    cpu_s: float


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> Took:
    """Return the medians of some runs."""
    wall, cpu = [], []
    for _ in range(rounds):
        begin, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - used)
    return Took(sorted(wall)[rounds // 2], sorted(cpu)[rounds // 2])


def cases(count: int) -> dict[str, Callable[[], object]]:
    """Return the situations that a plan is made in."""
    hosts = fleet(count)
    site, racks = site_for(count), site_for(count, level="rack")
    recorded = plan_placement(site, hosts, Placement())
    lost = hosts[1:]
    gone = [replace(h, gpus=h.gpus[1:]) if h.name == "esx-00000" else h for h in hosts]
    thin = [
        replace(h, gpus=h.gpus[: GPUS // 2]) if int(h.moid.partition("-")[2]) % 20 == 0 else h
        for h in hosts
    ]
    many = site_for(count, fill=0.999)
    short = hosts[: int(count * 0.85)]

    def impossible() -> object:
        try:
            return plan_placement(many, short, Placement())
        except Refused as refused:
            return refused

    return {
        "nothing stands yet": lambda: plan_placement(site, hosts, Placement()),
        "nothing yet, over racks": lambda: plan_placement(racks, hosts, Placement()),
        "all stands": lambda: plan_placement(site, hosts, recorded),
        "a host is gone": lambda: plan_placement(site, lost, recorded),
        "a device is gone": lambda: plan_placement(site, gone, recorded),
        "every 20th lost 4 devices": lambda: plan_placement(site, thin, recorded),
        "impossible: 15 % too few": impossible,
    }


def by_solver_alone(work: Callable[[], object]) -> Callable[[], object]:
    """Return the baseline: the same plan, its search left to HiGHS whole."""

    def alone() -> object:
        quick = placement.assign_hosts
        placement.assign_hosts = exact.solve  # type: ignore[assignment]
        try:
            return work()
        finally:
            placement.assign_hosts = quick

    return alone


def planning_table(sizes: tuple[int, ...] = (500, 10_000)) -> Table:
    """Return seconds of each situation, and the ratio to leaving its search to the solver."""
    table = Table(title="planning: four endpoints on 90 % of the hosts (goal: 1 s)")
    headings = ("hosts", "situation", "seconds", "CPU s", "by the solver alone: CPU s", "ratio")
    for heading in headings:
        table.add_column(heading, justify="right")
    for size in sizes:
        for name, work in cases(size).items():
            took, base = seconds(work), seconds(by_solver_alone(work), rounds=1)
            table.add_row(
                str(size),
                name,
                f"{took.wall_s:.3f}",
                f"{took.cpu_s:.3f}",
                f"{base.cpu_s:.3f}",
                f"{took.cpu_s / base.cpu_s:.2f}",
            )
    return table


if __name__ == "__main__":
    Console(width=100).print(planning_table())
