"""What HAProxy's runtime socket answers, as values.

``show stat`` gives health and load, but hides the administrative state of a server that is
down; ``show servers state`` gives the administrative bits. Both are read in one call, and told
apart by their header lines. An edge answers for each of its workers: a reload leaves old ones that
finish what they began, and what is in flight there is in flight.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from permafrost.counts import Counts, added
from permafrost.facts import BackendFacts, ServerFacts, ServerState
from permafrost.planning.release import slots_of

FORCED_MAINT = 0x01
FORCED_DRAIN = 0x08
NOT_SERVERS = ("FRONTEND", "BACKEND", "health")
"""``health`` is how an edge asks a replica how it is: no client's request goes there."""


class UnreadableAnswerError(ValueError):
    """The socket answered something else than asked for."""


@dataclass(frozen=True, slots=True)
class EdgeAnswer:
    """One edge: its backends over all workers, who begins away there, which addresses it has."""

    backends: tuple[BackendFacts, ...]
    declared_away: frozenset[str]
    addresses: frozenset[str]
    routes: Mapping[str, str]
    routes_in_file: Mapping[str, str]


def parse_edge(edge: str, text: str) -> EdgeAnswer:
    """Return what an edge says of itself; raise UnreadableAnswerError when it says nothing."""
    try:
        document = json.loads(text)
        workers = document["workers"]
        current = [w["answer"] for w in workers if w["current"]]
        old = [w["answer"] for w in workers if not w["current"]]
        away, addresses = frozenset(document["away"]), frozenset(document["addresses"])
        maps = [_routes(w.get("slots")) for w in workers if w["current"]]
        in_file = _routes(document.get("slots"))
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableAnswerError(f"{text.strip()[:200]} ({error!r})") from None
    if not current:
        raise UnreadableAnswerError("no worker is current")
    backends = parse(edge, current[0])
    for answer in (*current[1:], *old):
        backends = _with(backends, _of_worker(edge, answer))
    routes = maps[0] if all(m == maps[0] for m in maps) else {}
    return EdgeAnswer(_marked(backends, routes), away, addresses, routes, in_file)


def _routes(told: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in told.items()} if isinstance(told, dict) else {}


def _marked(
    backends: tuple[BackendFacts, ...], routes: Mapping[str, str]
) -> tuple[BackendFacts, ...]:
    """Say of each server whether its backend is where the endpoint's requests go.

    An edge without a map is one of before there was any: what it has, it sends requests to. So is
    a backend of which the map does not speak.
    """
    if not routes:
        return backends
    found = []
    for backend in backends:
        told = slots_of(routes, backend.name.rpartition("_")[0])
        servers = (replace(s, is_live=s.slot in told) if told else s for s in backend.servers)
        found.append(replace(backend, servers=tuple(servers)))
    return tuple(found)


def _of_worker(edge: str, answer: str) -> dict[tuple[str, str], ServerFacts]:
    """Return what another worker has; one that ended in this moment has nothing."""
    try:
        found = parse(edge, answer)
    except UnreadableAnswerError:
        return {}
    return {(s.backend, s.replica): s for b in found for s in b.servers}


def _with(
    backends: tuple[BackendFacts, ...], more: dict[tuple[str, str], ServerFacts]
) -> tuple[BackendFacts, ...]:
    """Add what another worker has in flight, and has counted."""
    return tuple(
        replace(b, servers=tuple(_both(s, more.get((s.backend, s.replica))) for s in b.servers))
        for b in backends
    )


def _both(server: ServerFacts, other: ServerFacts | None) -> ServerFacts:
    if other is None:
        return server
    in_flight = server.in_flight + other.in_flight
    return replace(
        server,
        in_flight=in_flight,
        counts=added((server.counts, other.counts)),
        most_at_once=max(server.most_at_once, other.most_at_once),
    )


def parse(edge: str, text: str) -> tuple[BackendFacts, ...]:
    """Return the backends that one worker knows, from its two answers."""
    statistics, states = _tables(text)
    if not statistics or not states:
        raise UnreadableAnswerError(text.strip()[:200] or "no answer")
    admin = {
        (row["be_name"], row["srv_name"]): _admin(int(row["srv_admin_state"])) for row in states
    }
    queued: dict[str, int] = {}
    servers: dict[str, list[ServerFacts]] = {}
    for row in statistics:
        backend, name = row["pxname"], row["svname"]
        if name == "BACKEND":
            queued[backend] = _number(row["qcur"])
        elif name not in NOT_SERVERS and (backend, name) in admin:
            servers.setdefault(backend, []).append(
                ServerFacts(
                    edge=edge,
                    backend=backend,
                    replica=name,
                    is_up=row["status"].split(" ")[0] in ("UP", "DRAIN", "no"),
                    admin=admin[backend, name],
                    in_flight=_number(row["scur"]) + _number(row["qcur"]),
                    check=_check(row),
                    counts=_counts(row),
                    most_at_once=_number(row.get("smax", "")),
                )
            )
    return tuple(
        BackendFacts(edge, backend, queued.get(backend, 0), tuple(found))
        for backend, found in sorted(servers.items())
    )


def _tables(text: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    statistics: list[str] = []
    states: list[str] = []
    into: list[str] | None = None
    for line in text.splitlines():
        if line.startswith("# pxname,"):
            into = statistics
            line = line.removeprefix("# ")
        elif line.startswith("# be_id "):
            into = states
            line = line.removeprefix("# ")
        elif not line.strip() or line.strip() == "1" or line.startswith("#"):
            continue
        if into is not None:
            into.append(line)
    return list(csv.DictReader(statistics)), list(_words(states))


def _words(lines: list[str]) -> Iterator[dict[str, str]]:
    if lines:
        names = lines[0].split()
        for line in lines[1:]:
            yield dict(zip(names, line.split(), strict=False))


def _admin(bits: int) -> ServerState:
    if bits & FORCED_MAINT:
        return ServerState.MAINT
    return ServerState.DRAIN if bits & FORCED_DRAIN else ServerState.READY


def _counts(row: Mapping[str, str]) -> Counts:
    def of(*names: str) -> int:
        return sum(_number(row.get(name)) for name in names)

    return Counts(
        requests=of("stot"),
        # HAProxy counts what a server broke off among its bad answers too.
        errors=of("hrsp_5xx") + max(0, of("eresp") - of("srv_abrt")),
        retried=of("wretr", "wredis"),
        cut=of("srv_abrt"),
        response_ms=of("rtime"),
    )


def _number(text: str | None) -> int:
    return int(text) if text else 0


def _check(row: dict[str, str]) -> str:
    parts = [row["status"], row.get("check_status") or "", row.get("last_chk") or ""]
    return " ".join(p for p in parts if p)
