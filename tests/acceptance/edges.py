"""Edges as scenarios handle them: who has the clients' address, reloads, other configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.acceptance.driver import Traffic, wait_until
from tests.acceptance.history import began
from tests.acceptance.rotation import EDGES

On = Callable[[str], Any]
Status = Callable[[], dict[str, Any]]
CONFIGURATION = "/etc/haproxy/haproxy.cfg"
KEPT = f"{CONFIGURATION}.kept"
# HAProxy's own ways to notice a lost server, and none of ours: what most sites run with.
PLAIN_CHECKS = (
    r"s/ tcp-ut [0-9]+ms//",
    r"s/ check inter .* slowstart [0-9]+s/ check check-ssl check-alpn http\/1.1/",
    r"/http-check connect/d",
    r"/option (srvtcpka|redispatch)/d",
    r"/srvtcpka-/d",
    r"/retry-on/d",
    r"s/timeout connect [0-9]+ms/timeout connect 5s/",
    r"/timeout check [0-9]+ms/d",
)
# Up is who takes a connection, and nobody is asked twice.
NO_HEALTH = (r"/option httpchk/d", r"/http-check/d", r"/retry-on/d")
# A request may come in as slowly as its client likes.
NO_BODY_LIMIT = (r"/wait-for-body/d",)


def holder(status: Status) -> str:
    """Return the edge that has the clients' address; empty while not exactly one has."""
    names = status()["vip"]["holders"]
    return str(names[0]) if len(names) == 1 else ""


def other(edge: str) -> str:
    """Return the other edge."""
    return next(name for name in EDGES if name != edge)


def workers(machine: Any) -> set[str]:
    """Return the pids of an edge's current HAProxy workers."""
    told = machine.check_output("echo 'show proc' | permafrost-haproxy --master")
    current = told.partition("# old workers")[0]
    return {line.split()[0] for line in current.splitlines() if " worker " in line}


def reload(machine: Any) -> None:
    """Reload an edge's HAProxy and wait until another worker takes the connections."""
    before = workers(machine)
    machine.check_output("systemctl reload haproxy.service")
    wait_until("another worker runs", lambda: workers(machine) - before, 20)


def await_new_answers(load: Traffic, count: int = 30, deadline_s: float = 90) -> None:
    """Wait until requests that begin from now on were answered."""
    from_now = max([began(r) for r in load.records()], default=0.0)

    def answered() -> bool:
        new = [r for r in load.records() if began(r) > from_now]
        return len([r for r in new if r["outcome"] == "ok"]) >= count

    wait_until("new requests are answered", answered, deadline_s, every_s=0.5)


@contextmanager
def configured_otherwise(on: On, changes: tuple[str, ...]) -> Iterator[None]:
    """Let every edge run with lines of its configuration changed (sed -E); ours again after."""
    edits = " ".join(f"-e '{change}'" for change in changes)
    machines = [on(name) for name in EDGES]
    try:
        for machine in machines:
            machine.check_output(
                f"cp -p {CONFIGURATION} {KEPT} && sed -E -i {edits} {CONFIGURATION}"
            )
            machine.check_output(f"! cmp -s {CONFIGURATION} {KEPT}")
            reload(machine)
        yield
    finally:
        for machine in machines:
            machine.check_output(f"if [ -e {KEPT} ]; then mv {KEPT} {CONFIGURATION}; fi")
            reload(machine)
