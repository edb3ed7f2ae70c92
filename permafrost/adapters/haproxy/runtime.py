"""The traffic director: every edge's HAProxy, all told the same, each asked afterwards.

What is set is first written on the edge, where HAProxy begins with it after a reload or a restart,
and then told to every worker that runs (``templates/haproxy/permafrost-haproxy.py.j2``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from permafrost.adapters.haproxy.answers import EdgeAnswer, UnreadableAnswerError, parse_edge
from permafrost.adapters.ssh import Shell
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.facts import BackendFacts, ServerFacts, ServerState, StreamsEnded, Traffic

log = logging.getLogger(__name__)

COMMAND = ("sudo", "-n", "/usr/local/sbin/permafrost-haproxy")
DEADLINE_S = 20
IDLE_LIMIT_S = 900
"""HAProxy's own limit of an idle stream (the role's ``edge_haproxy_stream_idle_s``)."""


class HaproxyRuntime:
    """Speaks to every worker of each edge. ``vip`` is the address that one edge has."""

    def __init__(self, edges: Sequence[str], shell: Shell, vip: str = "") -> None:
        self._edges = tuple(edges)
        self._shell = shell
        self._vip = vip

    def observe(self) -> Traffic:
        """Return what every edge does now; an edge that does not answer is listed as such."""
        backends: list[BackendFacts] = []
        unreachable: dict[str, str] = {}
        holders: list[str] = []
        away: dict[str, frozenset[str]] = {}
        routes: dict[str, Mapping[str, str]] = {}
        in_file: dict[str, Mapping[str, str]] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(self._edges))) as pool:
            for edge, answer in zip(self._edges, pool.map(self._try, self._edges), strict=True):
                if isinstance(answer, PermafrostError):
                    unreachable[edge] = answer.problems[0].message
                    continue
                backends += answer.backends
                away[edge] = answer.declared_away
                routes[edge], in_file[edge] = answer.routes, answer.routes_in_file
                if self._vip in answer.addresses:
                    holders.append(edge)
        return Traffic(tuple(backends), unreachable, frozenset(holders), away, routes, in_file)

    def set_state(
        self, replica: str, state: ServerState, *, but: frozenset[str] = frozenset()
    ) -> None:
        """Set a replica's state on every edge, in file and workers; then look."""
        self._each(but, lambda edge: self._set_on(edge, replica, state))

    def end_idle_streams(self, replica: str, *, idle_s: float, slot: str = "") -> StreamsEnded:
        """End the streams at a replica on which nothing has moved, on every edge."""
        of_slot = ("--slot", slot) if slot else ()
        return self._end("--close-idle", replica, "--idle-s", f"{idle_s:g}", *of_slot)

    def end_all(self, replica: str) -> StreamsEnded:
        """End everything that is open at a replica, on every edge."""
        return self._end("--cut", replica)

    def set_clients(self, keys: Mapping[str, str], *, but: frozenset[str] = frozenset()) -> None:
        """Make every edge know these keys alone: SHA-256 in hex to ``name:expiry``."""
        self._each(but, lambda edge: self._ask(edge, "--clients", stdin=json.dumps(dict(keys))))

    def set_routes(self, routes: Mapping[str, str], *, but: frozenset[str] = frozenset()) -> None:
        """Make every edge send requests so, in file and workers, one edge after the other."""
        self._each(but, lambda edge: self._route_on(edge, dict(routes)))

    def _route_on(self, edge: str, routes: dict[str, str]) -> None:
        before = self._read(edge)
        if before.routes == routes == before.routes_in_file:
            return
        said = self._ask(edge, "--slots", stdin=json.dumps(routes))
        after = self._read(edge)
        if not after.routes == routes == after.routes_in_file:
            raise Failed(
                Problem(
                    "EDGE_ROUTES_NOT_SET",
                    f"{edge} does not route as it was told: {said.strip()[-300:]}",
                    path=edge,
                    hint="look at `journalctl -u haproxy` there",
                )
            )

    def _each(self, but: frozenset[str], do: Callable[[str], object]) -> None:
        """Do something on every edge; what went wrong is told for all of them together."""
        problems: list[Problem] = []
        for edge in self._edges:
            if edge not in but:
                try:
                    do(edge)
                except PermafrostError as error:
                    problems += error.problems
        if problems:
            raise Failed(*problems)

    def _end(self, *options: str) -> StreamsEnded:
        total = StreamsEnded(0, 0)
        for edge in self._edges:
            try:
                text = self._ask(edge, *options, "--limit-s", str(IDLE_LIMIT_S))
            except PermafrostError as error:
                # Whether it matters that this edge is silent is seen when it is next observed.
                log.warning("%s", error)
                continue
            found = json.loads(text)
            total = StreamsEnded(total.open + found["open"], total.ended + found["closed"])
        return total

    def _set_on(self, edge: str, replica: str, state: ServerState) -> None:
        before = self._read(edge)
        if not _places(before, replica):
            raise Failed(
                Problem(
                    "EDGE_KNOWS_NO_REPLICA",
                    f"{edge} has no server {replica}",
                    path=edge,
                    hint="run `permafrost deploy`: the edge's configuration is behind the site",
                )
            )
        if _is_set(before, replica, state):
            return
        said = self._ask(edge, "--set", replica, state.value)
        if not _is_set(self._read(edge), replica, state):
            raise Failed(
                Problem(
                    "EDGE_STATE_NOT_SET",
                    f"{edge} did not set {replica} to {state.value}: {said.strip()[-300:]}",
                    path=edge,
                )
            )

    def _try(self, edge: str) -> EdgeAnswer | PermafrostError:
        try:
            return self._read(edge)
        except PermafrostError as error:
            return error

    def _read(self, edge: str) -> EdgeAnswer:
        try:
            return parse_edge(edge, self._ask(edge, "--observe"))
        except (UnreadableAnswerError, KeyError, ValueError) as error:
            raise Failed(
                Problem("EDGE_UNREADABLE", f"HAProxy on {edge} answered: {error}", path=edge)
            ) from None

    def _ask(self, edge: str, *options: str, stdin: str = "") -> str:
        done = self._shell.run(edge, [*COMMAND, *options], stdin=stdin, deadline_s=DEADLINE_S)
        if done.status != 0:
            raise Failed(
                Problem(
                    "EDGE_NOT_SERVING",
                    f"HAProxy on {edge} cannot be asked: {done.stderr.strip()[-300:]}",
                    path=edge,
                    hint="run `permafrost deploy`, or look at `journalctl -u haproxy` there",
                )
            )
        return done.stdout


def _places(answer: EdgeAnswer, replica: str) -> list[ServerFacts]:
    return [s for b in answer.backends for s in b.servers if s.replica == replica]


def _is_set(answer: EdgeAnswer, replica: str, state: ServerState) -> bool:
    """Whether workers and file say the same as we do."""
    in_file = (replica in answer.declared_away) == (state is not ServerState.READY)
    return in_file and all(s.admin is state for s in _places(answer, replica))
