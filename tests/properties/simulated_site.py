"""A simulated site for state machines: operations that may be killed, and faults, in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from permafrost.errors import PermafrostError
from permafrost.runbook.context import Context
from permafrost.site.model import Site
from tests.fakes.killing import KillAt
from tests.fakes.site import context, placed_context
from tests.fakes.world import Cut, World

ME = "operator:me"
FLOOR = 2
PINNED = "sha256:" + "a" * 64
REPLICAS = [f"lab-chat-{i:02}" for i in (1, 2, 3, 4)]
HOSTS = [f"lab-esx-{i:02}" for i in (1, 2, 3, 4)]
replicas = st.sampled_from(REPLICAS)
hosts = st.sampled_from(HOSTS)
kills = st.one_of(st.none(), st.integers(0, 30))
cuts = st.one_of(st.none(), st.none(), st.integers(0, 6))


class SimulatedSite(RuleBasedStateMachine):
    """One endpoint of four replicas on four hosts, of which two must serve; what befalls them."""

    cycled = ""
    """The replica whose VM a deployment is changing."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        at = memory if memory.is_dir() else None
        self.died_closed: set[str] = set()
        """Hosts that were lost while they were in maintenance mode, whatever became of them."""
        self.folder = Path(tempfile.mkdtemp(prefix="permafrost-", dir=at))

    def open(self, site: Site) -> None:
        """Begin with a site where everything serves, each effect judged."""
        # Nothing else stands in the way of a host: pulse may be away.
        site.inference["pulse"].__dict__["min_ready"] = 0
        self.world = World.of(site, hosts=4)
        self.world.watchers.append(self.check_effect)
        self.ctx: Context = placed_context(self.folder / "state", self.world)

    def check_effect(self, what: str, target: str) -> None:
        """Judge one effect, just before it is made."""
        raise NotImplementedError

    def run(self, work: Callable[[Context], object], kill: int | None, cut: int | None) -> None:
        """Run an operation; it may be killed at a moment of a step or in mid-effect."""
        self.ctx.crash = KillAt(kill)
        self.world.cut_in = cut
        try:
            with suppress(PermafrostError):
                work(self.ctx)
        except Cut:
            self.ctx = context(self.folder / "state", self.world)
        finally:
            self.world.cut_in = None

    @rule(host=hosts)
    def lose_a_host(self, host: str) -> None:
        """Silent and whole."""
        if self.world.hosts[host].in_maintenance:
            self.died_closed.add(host)
        self.world.hosts[host] = replace(self.world.hosts[host], connected=False)
        for machine in self.world.machines.values():
            if machine.host == host:
                machine.requests.clear()
                if machine.beside is not None:
                    machine.beside.requests.clear()

    @rule(host=hosts)
    def a_host_returns(self, host: str) -> None:
        """With its machines as they were."""
        self.world.hosts[host] = replace(self.world.hosts[host], connected=True)

    @rule(replica=replicas)
    def a_model_server_fails(self, replica: str) -> None:
        """Its node takes it out by itself."""
        self.world.machines[replica].state = "OUT"
        self.world.machines[replica].requests.clear()

    @rule(replica=replicas, is_right=st.booleans())
    def a_checkpoint_is_planted_or_mended(self, replica: str, is_right: bool) -> None:
        """What is not in rotation may hold other bytes when it comes back."""
        if not self.world.takes_requests(replica):
            digest = PINNED if is_right else "sha256:" + "b" * 64
            self.world.machines[replica].checkpoint = digest

    @rule(replica=replicas, passes=st.booleans())
    def a_disk_rots_or_is_mended(self, replica: str, passes: bool) -> None:
        """Seen at the next probe."""
        self.world.machines[replica].passes_probe = passes

    @rule(down=st.booleans())
    def vcenter_goes_or_comes(self, down: bool) -> None:
        """It is not needed for serving."""
        self.world.vcenter_down = down

    @rule(seconds=st.sampled_from([0.2, 1, 5]), length=st.sampled_from([0.5, 2, 30]))
    def time_passes(self, seconds: float, length: float) -> None:
        """Requests come and go; long ones outlast a drain's deadline."""
        self.world.request_s = length
        self.world.pass_time(seconds)

    def _heal(self) -> None:
        self.ctx.crash = KillAt()
        self.world.vcenter_down = False
        self.world.request_s = 0.5
        for name in HOSTS:
            self.world.hosts[name] = replace(self.world.hosts[name], connected=True)
        for name in REPLICAS:
            machine = self.world.machines[name]
            machine.passes_probe = True
            self._mend_bytes(name)
            machine.requests.clear()
            if machine.is_on and machine.state == "OUT" and self.world.works(name):
                machine.state = "ADMITTED"
        self.world.pass_time(5)

    def _mend_bytes(self, name: str) -> None:
        self.world.machines[name].checkpoint = PINNED
