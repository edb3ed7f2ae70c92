"""The traffic director: every edge's HAProxy, all told the same, each asked afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from permafrost.adapters.haproxy.answers import OBSERVE, UnreadableAnswerError, parse
from permafrost.adapters.ssh import Shell
from permafrost.errors import Failed, PermafrostError, Problem
from permafrost.ports import BackendFacts, ServerState, Traffic

COMMAND = ("sudo", "-n", "/usr/local/sbin/permafrost-haproxy")
DEADLINE_S = 20


class HaproxyRuntime:
    """Speaks to the runtime socket of each edge."""

    def __init__(self, edges: Sequence[str], shell: Shell) -> None:
        self._edges = tuple(edges)
        self._shell = shell

    def observe(self) -> Traffic:
        """Return what every edge does now; an edge that does not answer is listed as such."""
        backends: list[BackendFacts] = []
        unreachable: dict[str, str] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(self._edges))) as pool:
            for edge, answer in zip(self._edges, pool.map(self._try, self._edges), strict=True):
                if isinstance(answer, PermafrostError):
                    unreachable[edge] = answer.problems[0].message
                else:
                    backends += answer
        return Traffic(tuple(backends), unreachable)

    def set_state(self, replica: str, state: ServerState) -> None:
        """Set a replica's state on every edge, in every backend where it stands; then look."""
        problems: list[Problem] = []
        for edge in self._edges:
            try:
                self._set_on(edge, replica, state)
            except PermafrostError as error:
                problems += error.problems
        if problems:
            raise Failed(*problems)

    def _set_on(self, edge: str, replica: str, state: ServerState) -> None:
        places = [s for b in self._read(edge) for s in b.servers if s.replica == replica]
        if not places:
            raise Failed(
                Problem(
                    "EDGE_KNOWS_NO_REPLICA",
                    f"{edge} has no server {replica}",
                    path=edge,
                    hint="run `permafrost deploy`: the edge's configuration is behind the site",
                )
            )
        wrong = [s for s in places if s.admin is not state]
        if not wrong:
            return
        commands = [f"set server {s.backend}/{replica} state {state.value}" for s in wrong]
        said = self._ask(edge, "\n".join(commands) + "\n").strip() or "no reason given"
        after = [s for b in self._read(edge) for s in b.servers if s.replica == replica]
        if any(s.admin is not state for s in after):
            raise Failed(
                Problem(
                    "EDGE_STATE_NOT_SET",
                    f"{edge} did not set {replica} to {state.value}: {said}",
                    path=edge,
                )
            )

    def _try(self, edge: str) -> tuple[BackendFacts, ...] | PermafrostError:
        try:
            return self._read(edge)
        except PermafrostError as error:
            return error

    def _read(self, edge: str) -> tuple[BackendFacts, ...]:
        try:
            return parse(edge, self._ask(edge, OBSERVE))
        except (UnreadableAnswerError, KeyError, ValueError) as error:
            raise Failed(
                Problem("EDGE_UNREADABLE", f"HAProxy on {edge} answered: {error}", path=edge)
            ) from None

    def _ask(self, edge: str, commands: str) -> str:
        done = self._shell.run(edge, COMMAND, stdin=commands, deadline_s=DEADLINE_S)
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
