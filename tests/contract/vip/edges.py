"""Edges of the golden site: our files at their places, a real HAProxy and keepalived.

What systemd does at a start and a stop (``templates/keepalived/haproxy.service.conf.j2``) is done
here, for there is no systemd.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from permafrost import topology
from permafrost.adapters.ansible.variables import host_variables
from permafrost.pki import SitePki
from permafrost.site.model import Site as SiteFile
from tests.contract.vip.machines import LINK, Machine
from tests.golden.ansible.rendering import PUBLIC, ROOT, SECRET, golden_site, render

VIP, PORT = "10.20.0.10", 8443
EDGES = ("oslo-edge-01", "oslo-edge-02")
# What only a later HAProxy than the one on the build machine knows, and what needs a syslog.
NOT_HERE = ("log /dev", "tune.h2.")
# On a busy machine replicas and keepalived itself are late: nothing is to move but what we move.
PATIENT = {"edge_haproxy_connect_ms": 8000, "edge_haproxy_silent_ms": 8000}
RARELY = {"keepalived_advertise_ms": 2000}
Changed = Callable[[str], str]


def until(what: str, condition: Callable[[], object], within_s: float = 20) -> None:
    """Wait for something."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)


def site_of(edges: int) -> SiteFile:
    """Return the golden site with so many edges."""
    site = golden_site("oslo")
    return site.model_copy(update={"edge": site.edge.model_copy(update={"nodes": edges})})


def addresses(site: SiteFile, endpoint: str) -> dict[str, str]:
    """Return where the replicas of an endpoint are; with none named, the edges."""
    return {n.name: str(n.address) for n in topology.nodes(site) if n.endpoint == endpoint}


def certify(folder: Path, site: SiteFile) -> Path:
    """Write a certificate of the site's for everybody, with its key; return its file."""
    served = [VIP, *addresses(site, "").values()]
    pki = SitePki(folder, "oslo")
    issued = pki.server_certificate(
        "all", names=addresses(site, "chat"), addresses=[IPv4Address(a) for a in served]
    )
    (folder / "ca.pem").write_text(pki.ca_pem(), encoding="ascii")
    pem = folder / "server.pem"
    pem.write_text(issued.certificate_pem + issued.key_pem, encoding="ascii")
    return pem


class Edge:
    """One edge; ``changed`` alters `permafrost-vip`, for controls."""

    def __init__(self, name: str, site: SiteFile, folder: Path, changed: Changed) -> None:
        self.name, self.address = name, addresses(site, "")[name]
        self._folder = folder / name
        places = {
            there: self._folder / there.strip("/").replace("/", "-")
            for there in ("/etc/haproxy", "/etc/keepalived", "/usr/local/sbin", "/var/lib/haproxy")
        }
        for place in places.values():
            place.mkdir(parents=True)
        haproxy, keepalived, sbin, _ = places.values()
        node = next(n for n in topology.nodes(site) if n.name == name)
        # The golden site knows of two; what another one is told takes the place of all of it.
        told = host_variables(site, node, PUBLIC, SECRET).plain
        text = render("haproxy/edge.cfg.j2", EDGES[0], **{**told, **PATIENT})
        kept = [line for line in text.splitlines() if not line.strip().startswith(NOT_HERE)]
        self._write(haproxy / "haproxy.cfg", "\n".join(kept) + "\n")
        self._write(haproxy / "declared.cfg", "")
        self._write(haproxy / "clients.map", "")
        self._write(haproxy / "slots.map", "chat a\npulse a\n")
        (haproxy / "tls").mkdir()
        for file in ("server.pem", "ca.pem"):
            self._write(haproxy / "tls" / file, (folder / file).read_text(encoding="ascii"))
        told |= {"keepalived_interface": LINK, **RARELY}
        vip = render("keepalived/keepalived.conf.j2", EDGES[0], **told)
        self._write(keepalived / "keepalived.conf", vip)
        command = changed(render("keepalived/permafrost-vip.j2", EDGES[0], **told))
        self._write(sbin / "permafrost-vip", command, 0o755)
        command = render("haproxy/permafrost-haproxy.py.j2", EDGES[0], **told)
        self._write(sbin / "permafrost-haproxy", command, 0o755)
        self.machine = Machine(name, [f"{self.address}/24"], places)
        for line in render("keepalived/sysctl.conf.j2", EDGES[0], **told).splitlines():
            if "=" in line:
                self.machine.sh("sysctl", "-qw", line.replace(" ", ""))
        self.machine.sh("nft", "-f", "-", stdin=render("walls/nftables.conf.j2", EDGES[0], **told))
        self.machine.sh("mkdir", "-p", "/run/haproxy", "/run/permafrost-vip")
        self._haproxy: subprocess.Popen[bytes] | None = None
        self._keepalived: subprocess.Popen[bytes] | None = None

    @staticmethod
    def _write(file: Path, text: str, mode: int = 0o644) -> None:
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def start(self) -> None:
        """Start HAProxy as systemd does, and wait until it answers."""
        self.vip("listen")
        self._haproxy = self.machine.start(
            self._folder / "haproxy.log",
            *("haproxy", "-W", "-db", "-S", "/run/haproxy-master.sock"),
            *("-f", "/etc/haproxy/declared.cfg", "-f", "/etc/haproxy/haproxy.cfg"),
        )
        until(f"HAProxy on {self.name} answers", self._answers)
        self.vip("may-come")

    def _answers(self) -> bool:
        argv = self.machine.argv("/usr/local/sbin/permafrost-vip", "answers")
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

    def stop(self) -> str:
        """Stop HAProxy as systemd does; return what was said about the address."""
        said = self.vip("leave")
        self.end()
        self.vip("away")
        return said

    def end(self) -> None:
        """End HAProxy alone, at once."""
        assert self._haproxy is not None
        self._haproxy.terminate()
        self._haproxy.wait(10)

    def run_keepalived(self) -> None:
        """Start keepalived."""
        self._keepalived = self.machine.start(
            self._folder / "keepalived.log",
            *("keepalived", "--dont-fork", "--log-console", "--vrrp", "--log-detail"),
            *("--use-file", "/etc/keepalived/keepalived.conf"),
        )

    def end_keepalived(self) -> None:
        """End keepalived as systemd does."""
        assert self._keepalived is not None
        self._keepalived.terminate()
        self._keepalived.wait(10)

    def vip(self, verb: str) -> str:
        """Run the command about the address; return all that it says."""
        argv = self.machine.argv("/usr/local/sbin/permafrost-vip", verb)
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (self.name, verb, done)
        return done.stdout + done.stderr

    def has_address(self) -> bool:
        """Whether clients' packets come to this edge: it has the address on its link."""
        return VIP in self.machine.sh("ip", "-4", "address", "show", "to", VIP, "dev", LINK)


def unchanged(text: str) -> str:
    """Return the command as it is."""
    return text


class Site:
    """The nodes, and the edges; the first has the address."""

    def __init__(self, folder: Path, changed: Changed = unchanged, edges: int = 2) -> None:
        site = site_of(edges)
        pem, served = certify(folder, site), addresses(site, "chat")
        self.nodes = Machine("nodes", [f"{a}/24" for a in served.values()], {})
        argv = (str(ROOT / ".venv/bin/python"), "-m", "tests.contract.vip.nodes", str(pem))
        self.nodes.start(folder / "nodes.log", *argv, *served.values())
        self.edges = [Edge(name, site, folder, changed) for name in addresses(site, "")]
        for edge in self.edges:
            edge.start()
            edge.run_keepalived()
            until("one has the address", lambda: self.holders())

    def holders(self) -> list[Edge]:
        """Return the edges that have the address."""
        return [edge for edge in self.edges if edge.has_address()]
