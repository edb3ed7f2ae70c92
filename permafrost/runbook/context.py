"""What every runbook works with: the site, the memory, the ports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from permafrost.engine.crash import CrashPoint, crash_of_environment
from permafrost.engine.releases import release
from permafrost.engine.state import StateStore
from permafrost.errors import Problem
from permafrost.facts import ClockFacts, Traffic
from permafrost.planning.release import Release
from permafrost.ports import (
    Catalog,
    Clock,
    Converger,
    Hypervisor,
    ModelServer,
    Provisioner,
    TrafficDirector,
    VectorStore,
)
from permafrost.site.load import LoadedSite
from permafrost.site.model import Site


@dataclass
class Context:
    """One opened site. Ports that are heavy to make are made when first used."""

    loaded: LoadedSite
    store: StateStore
    hypervisor: Hypervisor
    traffic: TrafficDirector
    models: ModelServer
    catalog: Catalog
    clock: Clock
    make_provisioner: Callable[[], Provisioner]
    make_converger: Callable[[], Converger]
    lock_token: str | None = None
    knowledge: VectorStore | None = None
    crash: CrashPoint = crash_of_environment
    services: Callable[[], tuple[tuple[str, str], ...]] = tuple
    """Gives (what, address) of what the site needs besides its own VMs."""
    object_store: Callable[[], tuple[Problem, ...]] = tuple
    """Asks the external object store; gives what speaks against it, nothing without one."""
    clocks: Callable[[Iterable[str]], Mapping[str, ClockFacts | None]] = lambda _: {}
    """Reads the clocks of nodes; None for one that cannot be asked."""
    looked: tuple[float, Traffic] | None = None
    """When edges were last looked at for a plan (``clock.monotonic``), and what they said."""
    counted: tuple[float, Traffic] | None = None
    """When a step last asked or told all edges that it could, and what they had counted then."""

    @property
    def site(self) -> Site:
        """The site itself."""
        return self.loaded.site

    @cached_property
    def provisioner(self) -> Provisioner:
        """Pulumi."""
        return self.make_provisioner()

    @cached_property
    def converger(self) -> Converger:
        """Ansible."""
        return self.make_converger()

    def release(self, endpoint: str) -> Release:
        """What an endpoint's slots hold, and which of them answers, as it is recorded now."""
        return release(self.store, self.loaded, endpoint)

    def guard(self) -> None:
        """Raise Held when another operation has the site; to be called before each effect."""
        self.store.lock.check(self.lock_token)
