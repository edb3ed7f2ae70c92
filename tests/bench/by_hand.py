"""What an operator does by hand on a site with a stock haproxy.cfg, and how it is all taken back.

Edges and replicas are the deployed lab's; for the time of the baseline its edges run the text of
``stock_config`` under a unit without the product's settings. ^C and SIGTERM take everything back
as well; what a ``kill -9`` leaves, ``python -m tests.bench.stock --restore`` and then
``permafrost deploy`` do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pyVmomi import vmodl

from lab.errors import LabError
from lab.faults.targets import inside
from lab.hypervisor.machine import Machine
from permafrost.adapters.ansible.variables import SLOT_PORTS
from tests.acceptance.driver import VCenter, wait_until
from tests.bench.endings import undisturbed
from tests.bench.stock_config import DROP_IN, servers_up, stock_config

CONFIGURATION = "/etc/haproxy/haproxy.cfg"
KEPT, NEW = f"{CONFIGURATION}.before-bench", f"{CONFIGURATION}.bench"
UNIT_FOLDER = "/run/systemd/system/haproxy.service.d"
UNIT_FILE = f"{UNIT_FOLDER}/90-bench-stock.conf"
RUNTIME = "/usr/local/sbin/permafrost-haproxy"
IS_STOCK = f"grep -qx 'backend triton' {CONFIGURATION}"
INSTALL = f"{IS_STOCK} || cp -p {CONFIGURATION} {KEPT}; mkdir -p {UNIT_FOLDER}"
RESTORE = (
    f"rm -f {UNIT_FILE} {NEW}; systemctl daemon-reload; if [ -e {KEPT} ]; then "
    f"if {IS_STOCK}; then cp -p {KEPT} {NEW}; mv {NEW} {CONFIGURATION}; fi; "
    f"systemctl restart haproxy.service; rm {KEPT}; fi"
)
SLOT, UNIT = "a", "triton-a.service"
FOLDER = f"/var/lib/permafrost/slots/{SLOT}"
LOADED = f"{FOLDER}/loaded"
NOT_RESTORED = "not restored, run `permafrost deploy`: "
READY = (
    "import urllib.request as u;"
    f"u.urlopen('http://127.0.0.1:{SLOT_PORTS[SLOT][0]}/v2/health/ready', timeout=2)"
)
UP_S = 180.0


@dataclass(frozen=True)
class StockEdges:
    """Edges with the stock configuration: ``servers`` is the address by the replica's name."""

    edges: tuple[Machine, ...]
    port: int
    servers: Mapping[str, str]

    def configure(self, *, out: Collection[str] = ()) -> None:
        """Edit the file and restart the service, on one edge after the other."""
        text = stock_config(self.port, self.servers, out)
        for edge in self.edges:
            inside(edge, "tee", NEW, stdin=text)
            inside(edge, "haproxy", "-c", "-q", "-f", NEW)
            inside(edge, "mv", NEW, CONFIGURATION)
            inside(edge, "systemctl", "restart", "haproxy.service")

    def await_up(self, *, out: Collection[str] = ()) -> None:
        """Wait until every edge sees all servers up but those that were taken out."""
        wanted = set(self.servers) - set(out)
        wait_until(
            f"every edge sees {', '.join(sorted(wanted))} up",
            lambda: all(self._up(edge) == wanted for edge in self.edges),
            UP_S,
        )

    @staticmethod
    def _up(edge: Machine) -> frozenset[str]:
        with suppress(LabError):
            return servers_up(inside(edge, RUNTIME, stdin="show stat\n"))
        return frozenset()


@contextmanager
def stock(edges: StockEdges) -> Iterator[StockEdges]:
    """Run the stock configuration on every edge; the product's own again after the block."""
    try:
        for edge in edges.edges:
            inside(edge, "sh", "-ec", INSTALL)
            inside(edge, "tee", UNIT_FILE, stdin=DROP_IN)
            inside(edge, "systemctl", "daemon-reload")
        edges.configure()
        edges.await_up()
        yield edges
    finally:
        with undisturbed():
            restore(edges.edges)


def restore(edges: Collection[Machine]) -> None:
    """Bring back file and unit of every edge; what cannot be brought back is told at the end."""
    failed = []
    for edge in edges:
        try:
            inside(edge, "sh", "-ec", RESTORE)
        except LabError as error:
            failed.append(f"{edge.name}: {error}")
    if failed:
        raise RuntimeError(NOT_RESTORED + "; ".join(failed))


def await_ready(replica: Machine) -> None:
    """Wait until the replica's Triton says that it is ready, asked on its own machine."""

    def is_ready() -> bool:
        with suppress(LabError, OSError):
            inside(replica, "/usr/bin/python3", "-c", READY)
            return True
        return False

    wait_until(f"Triton of {replica.name} is ready", is_ready, UP_S)


def maintain(edges: StockEdges, replica: Machine, vsphere: VCenter) -> float:
    """Take a server out, switch its VM off and on, put it back; return the VM's seconds."""
    edges.configure(out=(replica.name,))
    begun = time.monotonic()
    power_cycle(vsphere, replica.name)
    await_ready(replica)
    took = time.monotonic() - begun
    edges.configure()
    edges.await_up()
    return took


def power_cycle(vsphere: VCenter, name: str) -> None:
    """Shut a guest down and switch its VM on again, also where that is broken off."""
    try:
        vsphere.power_cycle(name)
    except BaseException:
        with undisturbed(), suppress(AssertionError, vmodl.MethodFault):
            vm = vsphere.vm(name)
            wait_until(f"{name} is off", lambda: vm.runtime.powerState == "poweredOff", 60)
            vsphere.await_task(vm.PowerOnVM_Task())
        raise


def exchange(edges: StockEdges, replicas: Collection[Machine], old: str, new: str) -> float:
    """Give each replica another checkpoint by a restart of its Triton, one after the other.

    Returns the seconds of fetching and loading. Nobody is taken out before: HAProxy's checks see
    who is away.
    """
    took = 0.0
    for replica in replicas:
        begun = time.monotonic()
        inside(replica, "/usr/bin/permafrost-node", "pull", new)
        load(replica, old, new)
        await_ready(replica)
        took += time.monotonic() - begun
        edges.await_up()
    return took


def load(replica: Machine, old: str, new: str) -> None:
    """Restart a replica's Triton with another digest in its files, which its answers name then."""
    inside(replica, "systemctl", "stop", UNIT)
    inside(replica, "sed", "-i", f"s/{old}/{new}/", LOADED, f"{FOLDER}/models/pulse/config.pbtxt")
    inside(replica, RUNTIME, "--slots", stdin=json.dumps({SLOT: new}))
    inside(replica, "systemctl", "start", "--no-block", UNIT)


@contextmanager
def loaded_before(replicas: Collection[Machine], old: str, new: str) -> Iterator[None]:
    """Have every replica load the old checkpoint again after the block; nobody waits for it."""
    try:
        yield
    finally:
        with undisturbed():
            taken_back(replicas, old, new)


def taken_back(replicas: Collection[Machine], old: str, new: str) -> None:
    """Begin to load the old checkpoint where another is; start a Triton that was stopped."""
    failed = []
    for replica in replicas:
        try:
            if new in inside(replica, "cat", LOADED):
                load(replica, new, old)
            else:
                inside(replica, "systemctl", "start", "--no-block", UNIT)
        except LabError as error:
            failed.append(f"{replica.name}: {error}")
    if failed:
        raise RuntimeError(NOT_RESTORED + "; ".join(failed))
