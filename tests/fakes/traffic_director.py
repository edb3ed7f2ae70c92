"""The edges of a world: routes, states of servers, requests and held streams."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import product

from permafrost.counts import Counts
from permafrost.errors import Failed, Problem
from permafrost.facts import (
    BackendFacts,
    ServerFacts,
    ServerState,
    StreamFacts,
    StreamsEnded,
    Traffic,
)
from permafrost.topology import edges, replicas
from tests.fakes.machine import Machine
from tests.fakes.world import AS_THE_ADAPTER, World, unreachable


class FakeTrafficDirector:
    def __init__(self, world: World) -> None:
        self.world = world

    def observe(self) -> Traffic:
        return self._seen()

    def _seen(self) -> Traffic:
        world = self.world
        backends: list[BackendFacts] = []
        unreached: dict[str, str] = {}
        for edge in edges(world.site):
            if edge.name in world.edges_down or not world.works(edge.name):
                unreached[edge.name] = "no answer"
                continue
            for name, slot in product(sorted(world.site.inference), "ab"):
                backend = f"{name}_{slot}"
                servers = tuple(
                    ServerFacts(
                        edge.name,
                        backend,
                        n.name,
                        is_up=n.name in world.machines and world.is_up(n.name, slot),
                        admin=world.edge_state[edge.name, n.name],
                        in_flight=self._open(n.name, slot),
                        is_live=slot in world.slots_for(edge.name, n.name),
                        counts=world.counted.get((n.name, slot), Counts()),
                    )
                    for n in replicas(world.site, name)
                )
                backends.append(BackendFacts(edge.name, backend, 0, servers))
        holders = [e.name for e in edges(world.site) if e.name not in unreached]
        vip = frozenset(holders[:1]) if world.site.edge.vip else frozenset()
        away = {
            e.name: frozenset(
                replica
                for (edge, replica), state in world.edge_state.items()
                if edge == e.name and state is not ServerState.READY
            )
            for e in edges(world.site)
        }
        routes = {e.name: self._routes(e.name) for e in edges(world.site)}
        return Traffic(tuple(backends), unreached, vip, away, routes, routes)

    def _routes(self, edge: str) -> dict[str, str]:
        told = dict.fromkeys(self.world.site.inference, "a")
        pins = {
            f"{name}@{endpoint.model.partition('@')[2]}": "a"
            for name, endpoint in self.world.site.inference.items()
        }
        return self.world.routes.get(edge, {**told, **pins})

    def _open(self, name: str, slot: str) -> int:
        machine = self.world.machines.get(name)
        if machine is None:
            return 0
        if slot == "b":
            return len(machine.beside.requests) if machine.beside else 0
        return len(machine.requests) + machine.idle_streams

    def set_routes(
        self, routes: Mapping[str, str], *, but: frozenset[str] = frozenset()
    ) -> Traffic:
        for edge in sorted(self._reached(but)):
            if self._routes(edge) != routes:

                def do(edge: str = edge) -> None:
                    self.world.routes[edge] = dict(routes)

                self.world.effect("route", edge, do)
        return self._seen()

    def _reached(self, but: frozenset[str]) -> set[str]:
        silent = set(self._seen().unreachable) - but
        if silent:
            raise unreachable(min(silent))
        return {edge for edge, _ in self.world.edge_state} - but

    def set_state(
        self, replica: str, state: ServerState, *, but: frozenset[str] = frozenset()
    ) -> Traffic:
        silent = set(self._seen().unreachable) - but
        reached = {edge for edge, _ in self.world.edge_state} - but - silent
        places = [key for key in self.world.edge_state if key[1] == replica and key[0] in reached]
        if reached and not places:
            raise Failed(
                Problem("EDGE_KNOWS_NO_REPLICA", "no such server", replica, AS_THE_ADAPTER)
            )

        def do() -> None:
            for key in places:
                self.world.edge_state[key] = state

        if reached:
            self.world.effect(f"edge-{state.value}", replica, do)
        if silent:
            raise unreachable(min(silent))
        return self._seen() if reached else Traffic()

    def streams(self, replica: str, *, slot: str = "") -> tuple[StreamFacts, ...]:
        machine = self.world.machines[replica]
        work = machine.requests
        held = [machine.stream_bytes] * machine.idle_streams
        if slot == "b":
            work, held = machine.beside.requests if machine.beside else [], []
        edge = min(e for e, _ in self.world.edge_state)
        told = [(f"held-{n}", True, (moved, moved)) for n, moved in enumerate(held)]
        told += [(f"work-{n}", False, (0, 0)) for n, _ in enumerate(work)]
        return tuple(
            StreamFacts(edge, 1, f"{replica}#{name}", is_held, moved)
            for name, is_held, moved in told
        )

    def end_streams(self, streams: Collection[StreamFacts]) -> int:
        ended = 0
        for replica in sorted({s.name.partition("#")[0] for s in streams}):
            gone = set(self.streams(replica)) & {s for s in streams if s.is_held}

            def do(machine: Machine = self.world.machines[replica], n: int = len(gone)) -> None:
                machine.idle_streams -= n

            if gone:
                self.world.effect("end-idle", replica, do)
            ended += len(gone)
        return ended

    def end_all(self, replica: str) -> StreamsEnded:
        machine = self.world.machines[replica]
        count = len(machine.requests) + machine.idle_streams

        def do() -> None:
            machine.requests, machine.idle_streams = [], 0

        self.world.effect("end-all", replica, do)
        return StreamsEnded(count, count)

    def set_clients(self, keys: Mapping[str, str], *, but: frozenset[str] = frozenset()) -> None:
        self._reached(but)

        def do() -> None:
            self.world.client_keys = dict(keys)

        if self.world.client_keys != keys:
            self.world.effect("clients", "edges", do)
