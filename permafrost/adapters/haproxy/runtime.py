"""The traffic director: every edge's HAProxy, all told the same, each asked afterwards.

What is set is first written on the edge, where HAProxy begins with it after a reload or a restart,
and then told to every worker that runs (``templates/haproxy/permafrost-haproxy.py.j2``). Who sets
a replica's state, or routes, is answered with what the edge sees then: one round trip.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from permafrost.adapters.haproxy.answers import EdgeAnswer, UnreadableAnswerError, parse_edge
from permafrost.adapters.ssh import Shell
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.facts import (
    BackendFacts,
    ServerFacts,
    ServerState,
    StreamFacts,
    StreamsEnded,
    Traffic,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
COMMAND = ("sudo", "-n", "/usr/local/sbin/permafrost-haproxy")
DEADLINE_S = 20


class HaproxyRuntime:
    """Speaks to every worker of each edge. ``vip`` is the address that one edge has."""

    def __init__(self, edges: Sequence[str], shell: Shell, vip: str = "") -> None:
        self._edges = tuple(edges)
        self._shell = shell
        self._vip = vip

    def observe(self) -> Traffic:
        """Return what every edge does now; an edge that does not answer is listed as such."""
        return self._traffic(_answers(self._read, self._edges))

    def _traffic(self, answers: Mapping[str, EdgeAnswer | PermafrostError]) -> Traffic:
        backends: list[BackendFacts] = []
        unreachable: dict[str, str] = {}
        holders: list[str] = []
        away: dict[str, frozenset[str]] = {}
        routes: dict[str, Mapping[str, str]] = {}
        in_file: dict[str, Mapping[str, str]] = {}
        for edge, answer in answers.items():
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
    ) -> Traffic:
        """Set a replica's state on every edge at once, in file and workers; return what they see.

        What went wrong is told for all of them together.
        """
        return self._traffic(self._tell(but, lambda edge: self._set_on(edge, replica, state)))

    def streams(self, replica: str, *, slot: str = "") -> tuple[StreamFacts, ...]:
        """Return what is open at a replica, in every worker of every edge that answers."""
        of_slot = ("--slot", slot) if slot else ()
        found: list[StreamFacts] = []
        for edge, told in self._try_each("--streams", replica, *of_slot):
            found += (_stream(edge, row) for row in told["streams"])
        return tuple(found)

    def end_streams(self, streams: Collection[StreamFacts]) -> int:
        """End these streams, on the edges that answer, where nothing has moved since."""
        of_edge: dict[str, list[dict[str, object]]] = {}
        for s in streams:
            row = {"worker": s.worker, "name": s.name, "moved": list(s.moved)}
            of_edge.setdefault(s.edge, []).append(row)
        told = self._try_each(
            "--end", stdin={edge: json.dumps(rows) for edge, rows in of_edge.items()}
        )
        return sum(int(answer["closed"]) for _, answer in told)

    def end_all(self, replica: str) -> StreamsEnded:
        """End everything that is open at a replica, on every edge."""
        total = StreamsEnded(0, 0)
        for _, found in self._try_each("--cut", replica):
            total = StreamsEnded(total.open + found["open"], total.ended + found["closed"])
        return total

    def set_clients(self, keys: Mapping[str, str], *, but: frozenset[str] = frozenset()) -> None:
        """Make every edge know these keys alone: SHA-256 in hex to ``name:expiry``."""
        self._each(but, lambda edge: self._ask(edge, "--clients", stdin=json.dumps(dict(keys))))

    def set_routes(
        self, routes: Mapping[str, str], *, but: frozenset[str] = frozenset()
    ) -> Traffic:
        """Make every edge send requests so, in file and workers; return what they see.

        All edges at once, so that they route differently for as short as can be.
        """
        told = dict(routes)
        return self._traffic(self._tell(but, lambda edge: self._route_on(edge, told)))

    def _route_on(self, edge: str, routes: dict[str, str]) -> EdgeAnswer:
        said = self._ask(edge, "--slots", stdin=json.dumps(routes))
        after = self._seen(edge, said)
        if not after.routes == routes == after.routes_in_file:
            raise Failed(
                Problem(
                    "EDGE_ROUTES_NOT_SET",
                    f"{edge} does not route as it was told: {_words(said)}",
                    path=edge,
                    hint="look at `journalctl -u haproxy` there",
                )
            )
        return after

    def _tell(
        self, but: frozenset[str], tell: Callable[[str], EdgeAnswer]
    ) -> dict[str, EdgeAnswer | PermafrostError]:
        """Tell every edge at once, and return what each sees then.

        Raises Failed with what went wrong on any of them; all of them were told.
        """
        answers = _answers(tell, [e for e in self._edges if e not in but])
        failed = [a for a in answers.values() if isinstance(a, PermafrostError)]
        if failed:
            raise Failed(*(p for error in failed for p in error.problems))
        return answers

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

    def _try_each(
        self, *options: str, stdin: Mapping[str, str] | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Ask every edge at once, or those that are told something; a silent one is left out.

        Whether it matters that an edge is silent is seen when it is next observed.
        """

        def told_by(edge: str) -> dict[str, Any] | Exception:
            try:
                said = self._ask(edge, *options, stdin=(stdin or {}).get(edge, ""))
                return dict(json.loads(said))
            except (PermafrostError, ValueError) as error:
                return error

        for edge, told in _at_once(
            told_by, self._edges if stdin is None else tuple(stdin)
        ).items():
            if isinstance(told, Exception):
                log.warning("%s: %s", edge, told)
            else:
                yield edge, told

    def _set_on(self, edge: str, replica: str, state: ServerState) -> EdgeAnswer:
        try:
            said = self._ask(edge, "--set", replica, state.value)
        except PermafrostError:
            if _places(self._read(edge), replica):
                raise
            raise Failed(
                Problem(
                    "EDGE_KNOWS_NO_REPLICA",
                    f"{edge} has no server {replica}",
                    path=edge,
                    hint="run `permafrost deploy`: the edge's configuration is behind the site",
                )
            ) from None
        after = self._seen(edge, said)
        if not _is_set(after, replica, state):
            raise Failed(
                Problem(
                    "EDGE_STATE_NOT_SET",
                    f"{edge} did not set {replica} to {state.value}: {_words(said)}",
                    path=edge,
                    hint=f"look at `journalctl -u haproxy` on {edge}, then `permafrost resume`",
                )
            )
        return after

    def _seen(self, edge: str, said: str) -> EdgeAnswer:
        """Return what an edge saw when it had done something; one of before is asked for it."""
        try:
            observed = json.loads(said).get("observed")
        except (ValueError, AttributeError):
            observed = None
        return self._read(edge) if observed is None else self._parsed(edge, json.dumps(observed))

    def _read(self, edge: str) -> EdgeAnswer:
        return self._parsed(edge, self._ask(edge, "--observe"))

    @staticmethod
    def _parsed(edge: str, text: str) -> EdgeAnswer:
        try:
            return parse_edge(edge, text)
        except (UnreadableAnswerError, KeyError, ValueError) as error:
            raise Failed(
                Problem(
                    "EDGE_UNREADABLE",
                    f"HAProxy on {edge} answered: {error}",
                    path=edge,
                    hint=f"`permafrost converge {edge}` installs what asks it anew",
                )
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


def _answers(
    ask: Callable[[str], EdgeAnswer], edges: Sequence[str]
) -> dict[str, EdgeAnswer | PermafrostError]:
    """Return what each edge answers, or why it does not."""

    def answer_of(edge: str) -> EdgeAnswer | PermafrostError:
        try:
            return ask(edge)
        except PermafrostError as error:
            return error

    return _at_once(answer_of, edges)


def _at_once(ask: Callable[[str], T], edges: Sequence[str]) -> dict[str, T]:
    """Return what came of asking each edge, all of them at the same time."""
    with ThreadPoolExecutor(max_workers=max(1, len(edges))) as pool:
        return dict(zip(edges, pool.map(ask, edges), strict=True))


def _words(told: str) -> str:
    """Return what HAProxy said, without what was seen then."""
    try:
        return str(json.loads(told)["said"])[-300:]
    except (ValueError, KeyError, TypeError):
        return told.strip()[-300:]


def _places(answer: EdgeAnswer, replica: str) -> list[ServerFacts]:
    return [s for b in answer.backends for s in b.servers if s.replica == replica]


def _stream(edge: str, row: Mapping[str, Any]) -> StreamFacts:
    of_client, of_server = row["moved"]
    return StreamFacts(
        edge, int(row["worker"]), row["name"], row["asking"], (int(of_client), int(of_server))
    )


def _is_set(answer: EdgeAnswer, replica: str, state: ServerState) -> bool:
    """Whether workers and file say the same as we do."""
    in_file = (replica in answer.declared_away) == (state is not ServerState.READY)
    return in_file and all(s.admin is state for s in _places(answer, replica))
