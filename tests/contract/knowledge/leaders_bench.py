"""A member whose query node is emptied: a real etcd, roles of Milvus, and the program."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.contract.knowledge.etcd_bench import NAMES, Etcd
from tests.contract.knowledge.milvus_bench import PROXY, QueryNode, Role, message

OWN = "127.0.0.1"
SOON_S = 20.0
"""How long is waited for what a call of milliseconds brings about, on a busy machine."""


def coded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


class Site:
    """What is in etcd, one query node, the coordinator and this member's proxy."""

    def __init__(self, etcd: Etcd, program: ModuleType, folder: Path) -> None:
        self.etcd, self.program = etcd, program
        self.node, self.coordinator, self.proxy = QueryNode(9), Role(), Role()
        self.proxy.says(PROXY, message("Status"))
        self.settings = etcd.settings(
            tls={}, address=OWN, proxy=self.proxy.where, etcd=etcd.url(NAMES[0])
        )
        program.RECORD = str(folder / "record.json")
        program.EVERY_S, program.STEADY_S = 0.05, 0.0
        etcd.ask(
            NAMES[0], "kv/deleterange", {"key": coded("bergen/"), "range_end": coded("bergen0")}
        )

    def put(self, key: str, value: object, **more: object) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        body = {"key": coded(f"bergen/{key}"), "value": coded(text), **more}
        self.etcd.ask(NAMES[0], "kv/put", body)

    def register(self, name: str, number: int, where: str, **more: object) -> None:
        version = more.pop("Version", "2.3.5")
        session = {"ServerID": number, "ServerName": name, "Address": where, "Version": version}
        self.put(f"meta/session/{name}", session, **more)

    def value(self, key: str, **more: object) -> dict[str, Any] | None:
        """Return what etcd has at a key, with its lease."""
        body = {"key": coded(f"bergen/{key}"), **more}
        found: Any = self.etcd.ask(NAMES[0], "kv/range", body)
        if "kvs" not in found:
            return None
        (pair,) = found["kvs"]
        return {"lease": pair.get("lease"), **json.loads(base64.b64decode(pair["value"]))}

    def before_its_end(self, key: str) -> dict[str, Any] | None:
        """Return what a key had that is no more, looked for backwards."""
        now: Any = self.etcd.ask(NAMES[0], "kv/range", {"key": coded("bergen/x")})
        revision = int(now["header"]["revision"])
        looked = (self.value(key, revision=str(revision - n)) for n in range(1, 40))
        return next((found for found in looked if found), None)

    def session(self) -> dict[str, Any] | None:
        """Return the query node's session as etcd has it."""
        return self.value("meta/session/querynode-9")

    def note(
        self,
        *nodes: int,
        settled: bool = True,
        address: str = OWN,
        leaders: dict[str, dict[str, list[int]]] | None = None,
    ) -> None:
        record = {"settled": settled, "nodes": list(nodes), "leaders": leaders or {}}
        self.program.note({**self.settings, "address": address}, record)

    def is_marked(self) -> bool:
        return bool((self.session() or {}).get("Stopping"))

    def vacate(self, deadline_s: float = SOON_S) -> dict[str, Any]:
        found: dict[str, Any] = self.program.vacate(self.settings, self.node.port, deadline_s)
        return found

    def stop(self) -> None:
        for role in (self.node, self.coordinator, self.proxy):
            role.stop()


def awaited(is_so: Callable[[], object]) -> None:
    ends = time.monotonic() + SOON_S
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.02)


class Counted:
    """A function of the program, and how often it has been called."""

    def __init__(self, program: ModuleType, name: str) -> None:
        self.real, self.calls = getattr(program, name), 0
        setattr(program, name, self)

    def __call__(self, *arguments: Any) -> Any:
        found = self.real(*arguments)
        self.calls += 1
        return found

    def await_more(self, done: Future[Any]) -> None:
        """Wait until it was called twice more: what is awaited did not come."""
        wanted = self.calls + 3
        awaited(lambda: self.calls >= wanted or done.done())
        assert not done.done()
