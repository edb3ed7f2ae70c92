"""A deployed knowledge tier as a bench handles it: what is there, is killed, and is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lab.errors import LabError
from lab.faults.targets import inside
from lab.hypervisor.machine import Machine
from lab.instance.model import default_root, load
from permafrost.planning.knowledge import (
    first_coordinators,
    members,
    members_with,
    units_of,
    version_of,
)
from permafrost.site.load import load_site
from tests.acceptance.driver import ROOT, Cli, VCenter, vcenter, wait_until
from tests.acceptance.hosts import bring_back, hosts_of
from tests.bench.endings import undisturbed
from tests.bench.milvus_members import Member, anew_script
from tests.knowledge.test_losses import active_member

Seen = TypeVar("Seen")
COORDINATORS, QUERY, QUEUE = "milvus-coordinators", "milvus-query", "kafka"
ETCD_PORT = 2379
WHOLE_S = 600.0
"""Within which a tier that started anew as a whole is ready, by Milvus' own patience."""
UNIT = f"{COORDINATORS}.service"
STOP = f"systemctl kill --signal=SIGKILL {UNIT} || true; systemctl stop {UNIT}"
ANEW = anew_script([COORDINATORS])
STARTED = "systemctl is-active --quiet multi-user.target"


@dataclass(frozen=True)
class Tier:
    """``etcd``: its members as Milvus is told of them; ``environment``: what our units set.

    ``is_ours``: false while Milvus runs by its own defaults. `permafrost status` then misses what
    of ours is off, and says that the tier is not ready: clients alone say whether it answers.
    """

    permafrost: Cli
    lab: Cli
    members: tuple[Member, ...]
    first: str
    standbys: tuple[str, ...]
    etcd: str
    environment: tuple[str, ...]
    is_ours: bool = True

    @classmethod
    def of(cls, site_file: Path) -> Tier:
        """Return the tier of a rendered site file of the lab."""
        site, instance = load_site(site_file).site, load(default_root())
        env = {**os.environ, "PERMAFROST_SITE": str(site_file)}
        first = first_coordinators(site).name
        return cls(
            Cli(ROOT / ".venv/bin/permafrost", env),
            Cli(ROOT / ".venv/bin/permafrost-lab", env),
            tuple(
                Member(
                    node.name,
                    _sh(Machine(instance, node.name)),
                    # A spare is off but for a turn: who starts it adds a query node.
                    tuple(u.name for u in units_of(site, node.name) if not u.is_spare),
                )
                for node in members(site)
            ),
            first,
            tuple(n.name for n in members_with(site, "coordinators") if n.name != first),
            ",".join(f"{n.address}:{ETCD_PORT}" for n in members_with(site, "etcd")),
            tuple(sorted({n for p in version_of(site).processes for n in p.environment})),
        )

    def status(self) -> dict[str, Any]:
        """Return what ``permafrost status`` says of the tier."""
        found: dict[str, Any] = self.permafrost.json("status")["knowledge"]
        return found

    def member_with(self, unit: str) -> tuple[str, str]:
        """Return the first member that has a unit whose name begins so, and the unit."""
        return next((m.name, u) for m, u in self._running() if u.startswith(unit))

    def kill(self, member: str, unit: str) -> None:
        """Kill a unit's processes; systemd starts them anew."""
        self.lab.run("fault", "apply", "service-kill", f"{member}:{unit}.service")

    @contextmanager
    def lost(self, host: str) -> Iterator[Callable[[], None]]:
        """Give what loses a host without a word; after the block all is back and runs.

        A deployment switches on what was there. By Milvus' own values it would wait for what of
        ours is off, and bring ours to a member: there VMs are switched on by vCenter alone.
        """
        stood = {} if self.is_ours else self._seen(hosts_of)
        try:
            yield lambda: self.lab.run("fault", "apply", "host-lost", host)
        finally:
            with undisturbed():
                if self.is_ours:
                    self.regain()
                else:
                    self._seen(lambda vsphere: bring_back(self.lab, vsphere, stood))
                    wait_until("every member runs", self.all_run, 240, every_s=2)

    def regain(self) -> None:
        """Bring every host back, and by a deployment all that was there."""
        self.lab.run("fault", "heal", "all")
        self.permafrost.run("deploy", "--yes", timeout=1800)

    def all_run(self) -> bool:
        """Whether every member's machine has started."""
        try:
            for member in self.members:
                member.sh(STARTED, None)
        except LabError:
            return False
        return True

    def await_whole(self) -> None:
        """Wait until the tier answers right, and each coordinator has a standby."""
        places = {self.first, *self.standbys}
        wait_until(
            "the tier is whole",
            lambda: is_whole(self.status(), places, is_ours=self.is_ours),
            WHOLE_S,
            2,
        )

    def settle(self) -> None:
        """Have every event begin alike: the first coordinators active, standbys fresh.

        By the defaults a standby may be one that lost its session and never takes over: that is
        an event's outcome, and not to be the beginning of the next one.
        """
        if active_member(self.status()) != self.first:
            for name in self.standbys:
                self._at(name, STOP)
            self._at(self.first, ANEW)
            wait_until(
                "the first coordinators are active",
                lambda: active_member(self.status()) == self.first,
                WHOLE_S,
                2,
            )
        for name in self.standbys:
            self._at(name, ANEW)
        self.await_whole()

    def _at(self, name: str, script: str) -> None:
        (member,) = (m for m in self.members if m.name == name)
        member.sh(script, None)

    def _seen(self, look: Callable[[VCenter], Seen]) -> Seen:
        with vcenter(self.lab.json("status")) as vsphere:
            return look(vsphere)

    def _running(self) -> list[tuple[Member, str]]:
        units = {m["name"]: m["units"] for m in self.status()["members"]}
        return [(m, unit) for m in self.members for unit in sorted(units[m.name])]


def is_whole(status: dict[str, Any], places: Collection[str], *, is_ours: bool = True) -> bool:
    """Whether the tier is ready, and each coordinator is active or stands by on every place.

    What is not ours is ready when its clients are answered; that is awaited before each event.
    """
    stand = all({*c["standby"], c["active"]} >= set(places) for c in status["coordinators"])
    return stand and (bool(status["ready"]) or not is_ours)


def _sh(machine: Machine) -> Callable[[str, str | None], str]:
    return lambda script, stdin: inside(machine, "sh", "-ec", script, stdin=stdin)
