"""A knowledge tier in the world: members that run, serve, lead, and answer."""

from __future__ import annotations

from collections.abc import Mapping

from permafrost.errors import Failed, Problem
from permafrost.facts import CanaryAnswers, MemberDisk, MemberState, ProxyLeaders
from permafrost.planning.knowledge import (
    members,
    members_with,
    milvus_of,
    stores_on,
    units_of,
    version_of,
)
from permafrost.planning.knowledge_status import COORDINATORS
from permafrost.planning.milvus_versions import STORE_UNITS
from permafrost.planning.query_replicas import QueryNode
from tests.fakes.world import AS_THE_ADAPTER, World

ASKED = 16


class FakeVectorStore:
    """The port over a world: what is off or has given away serves nothing."""

    def __init__(self, world: World) -> None:
        self.world = world

    def running(self, role: str) -> list[str]:
        """Return the members that run and have a role."""
        return [
            n.name
            for n in members_with(self.world.site, role)
            if self.world.works(n.name) and n.name not in self.world.empty_disks
        ]

    def serving(self, role: str) -> list[str]:
        """Return the members on which a role of Milvus serves."""
        return [
            n.name
            for n in members(self.world.site)
            if self.world.works(n.name)
            and n.name not in self.world.handed_over
            and any(u.role == role for u in units_of(self.world.site, n.name))
        ]

    def leader(self) -> str:
        """Return who leads etcd: who did, while it runs, else the first that does."""
        running = self.running("etcd")
        if 2 * len(running) <= len(members_with(self.world.site, "etcd")):
            return ""
        if self.world.etcd_leader not in running:
            self.world.etcd_leader = running[0]
        return self.world.etcd_leader

    def coordinators(self) -> tuple[list[str], list[str]]:
        """Return who has the active ones, nobody or one, and who stands by."""
        who = self.serving("coordinators")
        name, until_s = self.world.took_over
        if name in who and self.world.seconds < until_s:
            who = [name, *(n for n in who if n != name)]
        return who[:1], who[1:]

    def state(self, member: str) -> MemberState:
        """Return one member's view."""
        if not self.world.works(member):
            raise Failed(
                Problem("KNOWLEDGE_NOT_ANSWERING", "no route to host", member, AS_THE_ADAPTER)
            )
        site = self.world.site
        gone = member in self.world.handed_over
        is_empty = member in self.world.empty_disks
        word = "failed" if is_empty else "active"
        stores = {STORE_UNITS[s]: word for s in stores_on(site, member)}
        query = self.world.query
        stopped = {n.unit for n in query.stopped if n.member == member}
        served = {
            u.name: "inactive" if gone or u.name in stopped else "active"
            for u in units_of(site, member)
            if not u.is_spare or (QueryNode(member, u.name) in query.called and not gone)
        }
        address = {n.name: str(n.address) for n in members(site)}
        active, standby = self.coordinators()
        roles = COORDINATORS[milvus_of(site).version]
        brokers = len(self.running("queue"))
        nodes = self.query_nodes()
        return MemberState(
            member,
            {**stores, **served},
            self.leader(),
            len(self.running("etcd")),
            len(self.running("object_store")) >= 2,
            brokers,
            0 if brokers == len(members_with(site, "queue")) else 5,
            (
                *((role, f"{address[name]}:1") for role in roles for name in active),
                *((f"{role}-7", f"{address[name]}:1") for role in roles for name in standby),
                *(
                    (f"proxy-{i}", f"{address[n]}:1")
                    for i, n in enumerate(self.serving("proxies"))
                ),
                *(
                    (f"querynode-{number}", f"{address[node.member]}:{port}")
                    for (node, port), number in nodes.items()
                ),
            ),
            cluster_owner=self.world.owner,
            replicas=self.world.query.noted(),
            proxy_leaders=self.proxy_leaders(),
            query_versions=query.versions or frozenset({milvus_of(site).version}),
            balance_held=query.is_held,
            spares=frozenset(
                u.name for u in units_of(site, member) if u.is_spare and query.has_spares
            ),
            stopping=frozenset(f"querynode-{n}" for n in self.world.query.marked),
        )

    def proxy_leaders(self) -> tuple[ProxyLeaders, ...]:
        """Return what the members of proxies that serve have noted."""
        if not version_of(self.world.site).pins_leaders:
            return ()
        doors = set(self.serving("proxies"))
        leaders = self.world.query.leaders()
        return tuple(
            ProxyLeaders(str(n.address), n.name not in self.world.unsettled, leaders)
            for n in members(self.world.site)
            if n.name in doors
        )

    def query_nodes(self) -> dict[tuple[QueryNode, int], int]:
        """Return the query nodes that serve, with their ports, and their numbers."""
        query = self.world.query
        ports = {
            QueryNode(name, unit.name): next(iter(unit.ports.values()))
            for name in self.serving("query")
            for unit in units_of(self.world.site, name)
            if unit.role == "query"
            and QueryNode(name, unit.name) not in query.stopped
            and (not unit.is_spare or QueryNode(name, unit.name) in query.called)
        }
        if self.coordinators()[0]:
            self.world.query.see(ports)
        numbers = self.world.query.numbers
        return {(n, port): numbers[n] for n, port in ports.items() if n in numbers}

    def canaries(self, member: str) -> CanaryAnswers:
        """Ask a proxy: right while it and everything that it needs serves."""
        if member not in self.serving("proxies"):
            return CanaryAnswers(member, error="connection refused")
        needed = ("coordinators", "query")
        if not self.leader() or not all(self.serving(role) for role in needed):
            return CanaryAnswers(member, ASKED, 0, 0, "no answer")
        return CanaryAnswers(member, ASKED, ASKED)

    def collections(self, member: str) -> Mapping[str, int]:
        """Return what is loaded."""
        if not self.canaries(member).is_right:
            raise Failed(Problem("KNOWLEDGE_NOT_ANSWERING", "no answer", member, AS_THE_ADAPTER))
        self.query_nodes()
        return self.world.query.percent()

    def settle(self, member: str) -> tuple[str, ...]:
        """Everything is so already."""
        del member
        return ()

    def hand_over(self, member: str, *, deadline_s: float) -> None:
        """Nothing serves there any more, and another one leads."""
        del deadline_s
        if not self.world.works(member):
            raise Failed(Problem("NODE_UNREACHABLE", "no answer", member, AS_THE_ADAPTER))

        def give() -> None:
            self.world.handed_over.add(member)
            self.end_spares(member)
            if self.world.etcd_leader == member:
                others = [n for n in self.running("etcd") if n != member]
                self.world.etcd_leader = others[0] if others else ""

        self.world.effect("hand-over", member, give)

    def restart(self, member: str, unit: str, *, deadline_s: float) -> None:
        """A query node ends, and another process registers in its place."""
        del deadline_s
        node = QueryNode(member, unit)
        self.query_nodes()
        if member not in self.serving("query") or node not in self.world.query.numbers:
            raise Failed(Problem("KNOWLEDGE_NOT_MOVED", "it does not run", member, AS_THE_ADAPTER))
        self.world.effect("restart", f"{member} {unit}", lambda: self.world.query.leave(node))

    def end_spares(self, member: str) -> None:
        """What stands still until it is called does so again once its machine has been off."""
        query = self.world.query
        query.called -= {n for n in query.called if n.member == member}

    def hold_balance(self, member: str) -> None:
        """Nodes that come get no segments of others."""
        self.world.effect("hold-balance", member, lambda: self._hold(True))

    def release_balance(self, member: str) -> None:
        """They do again."""
        self.world.effect("release-balance", member, lambda: self._hold(False))

    def _hold(self, is_held: bool) -> None:
        self.world.query.is_held = is_held

    def start(self, member: str, unit: str) -> None:
        """A spare registers."""
        node = QueryNode(member, unit)
        query = self.world.query
        if unit not in {u.name for u in units_of(self.world.site, member) if u.is_spare}:
            raise Failed(Problem("KNOWLEDGE_NOT_MOVED", "no such spare", member, AS_THE_ADAPTER))
        self.world.effect("start", f"{member} {unit}", lambda: query.called.add(node))

    def stop(self, member: str, unit: str, *, deadline_s: float) -> None:
        """A query node hands over, to others of its replicas, and ends: never the last one."""
        del deadline_s
        node, query = QueryNode(member, unit), self.world.query
        self.query_nodes()
        number = query.numbers.get(node)
        if any(r == {number} for replicas in query.has.values() for r in replicas):
            raise AssertionError(f"{member} {unit} is the last node of a replica")

        def end() -> None:
            query.called.discard(node)
            if not node.unit.endswith("-spare"):
                query.stopped.add(node)

        self.world.effect("stop", f"{member} {unit}", end)

    def take_up(self, member: str) -> None:
        """Everything runs there again; a machine that boots cannot be told."""
        if not self.world.works(member):
            raise Failed(Problem("NODE_UNREACHABLE", "no answer", member, AS_THE_ADAPTER))

        def start() -> None:
            self.world.start_all(member)
            numbers = self.world.query.numbers
            for node in [n for n in numbers if n.member == member]:
                if numbers[node] in self.world.query.marked:
                    self.world.query.leave(node)

        self.world.effect("take-up", member, start)

    def disk(self, member: str) -> MemberDisk:
        """Return what is on a disk: all or nothing."""
        if not self.world.works(member):
            raise Failed(Problem("NODE_UNREACHABLE", "no answer", member, AS_THE_ADAPTER))
        is_empty = member in self.world.empty_disks
        return MemberDisk(
            member, frozenset(() if is_empty else stores_on(self.world.site, member))
        )

    def readmit(self, member: str, *, by: str) -> None:
        """Etcd expects the member as a new one; only where the others have a majority."""
        if by not in self.running("etcd") or not self.leader():
            raise Failed(Problem("KNOWLEDGE_NOT_READMITTED", "no majority", by, AS_THE_ADAPTER))
        self.world.effect("readmit", member, lambda: self.world.expected.add(member))

    def claim(self, member: str, owner: str) -> str:
        """Return whose cluster it is."""
        del member
        if not self.world.owner:
            self.world.effect("claim", owner, lambda: setattr(self.world, "owner", owner))
        return self.world.owner
