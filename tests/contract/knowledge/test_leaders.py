"""permafrost-knowledge-leaders on a member: real etcd, and roles of Milvus told what to say."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.contract.knowledge.etcd_bench import NAMES, Etcd, etcd_program
from tests.contract.knowledge.milvus_bench import (
    CLASSES,
    PROXY,
    QUERY_COORDINATOR,
    QueryNode,
    Role,
    leaders,
    message,
    refused,
)
from tests.golden.ansible.programs import leaders_program

OWN, OTHER = "127.0.0.1", "10.20.0.25"
COLLECTION, CHANNEL = 446050, "bergen-dml_0_446050v0"
SOON_S = 20.0
pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    folder = tmp_path_factory.mktemp("etcd")
    cluster = Etcd(etcd_program(folder), folder)
    for name in NAMES:
        cluster.start(name, "new")
    for name in NAMES:
        cluster.await_writing(name)
    yield cluster
    for name in list(cluster.running):
        cluster.kill(name)


def coded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


class Site:
    """What is in etcd, one query node, the coordinator and this member's proxy."""

    def __init__(self, etcd: Etcd, program: ModuleType, folder: Path) -> None:
        self.etcd, self.program = etcd, program
        self.node, self.coordinator, self.proxy = QueryNode(9), Role(), Role()
        self.proxy.says(PROXY, message("Status"))
        self.settings = etcd.settings(tls={}, address=OWN, proxy=self.proxy.where)
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
        session = {"ServerID": number, "ServerName": name, "Address": where, "Version": "2.3.5"}
        self.put(f"meta/session/{name}", session, **more)

    def session(self) -> dict[str, Any] | None:
        """Return the query node's session as etcd has it."""
        found: Any = self.etcd.ask(
            NAMES[0], "kv/range", {"key": coded("bergen/meta/session/querynode-9")}
        )
        if "kvs" not in found:
            return None
        (pair,) = found["kvs"]
        return {"lease": pair.get("lease"), **json.loads(base64.b64decode(pair["value"]))}

    def note(self, *nodes: int, settled: bool = True, address: str = OWN) -> None:
        record = {"settled": settled, "nodes": list(nodes), "leaders": {}}
        self.program.note({**self.settings, "address": address}, record)

    def is_marked(self) -> bool:
        return bool((self.session() or {}).get("Stopping"))

    def vacate(self, deadline_s: float = SOON_S) -> dict[str, Any]:
        found: dict[str, Any] = self.program.vacate(self.settings, self.node.port, deadline_s)
        return found

    def stop(self) -> None:
        for role in (self.node, self.coordinator, self.proxy):
            role.stop()


@pytest.fixture
def site(etcd: Etcd, tmp_path: Path) -> Iterator[Site]:
    found = Site(etcd, leaders_program(tmp_path, "bergen-knowledge-01"), tmp_path)
    lease = etcd.ask(NAMES[0], "lease/grant", {"TTL": "600"})["ID"]
    found.register("querynode-9", 9, found.node.where, lease=lease)
    found.register("proxy-5", 5, f"{OWN}:19529")
    yield found
    found.stop()


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


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


def test_a_query_node_is_emptied_and_waited_for_until_no_proxy_knows_it(
    site: Site, beside: ThreadPoolExecutor
) -> None:
    before = site.session()
    assert before is not None
    site.note(9, settled=False)
    untold, left = Counted(site.program, "untold_by"), Counted(site.program, "left_on")
    site.node.segments, site.node.views = 2, {(COLLECTION, CHANNEL): 5}
    done = beside.submit(site.vacate)
    untold.await_more(done)
    assert not site.is_marked(), "not while a proxy knows one that is not whole"
    site.note(9)
    awaited(site.is_marked)
    assert site.session() == {**before, "Stopping": True}, "its lease with it"
    site.note(7)
    left.await_more(done)
    site.node.segments = 0
    left.await_more(done)
    site.node.views = {}
    untold.await_more(done)  # the note is from before it was empty
    site.note(7, 9)
    untold.await_more(done)
    site.note(7, settled=False)
    untold.await_more(done)
    site.note(7)
    assert done.result(SOON_S) == {"schema": 1, "node": 9, "left": 0, "untold": []}


def test_the_mark_goes_with_the_process_that_it_is_of(site: Site) -> None:
    before = site.session()
    assert before is not None
    site.note(7)
    site.node.segments = 1
    assert site.vacate(1.0)["left"] == 1
    assert site.is_marked()
    site.etcd.ask(NAMES[0], "lease/revoke", {"ID": before["lease"]})
    assert site.session() is None
    assert site.vacate() == {"schema": 1, "node": 0, "left": 0, "untold": []}


def test_what_cannot_be_moved_and_who_is_not_told_is_said_in_the_end(site: Site) -> None:
    site.program.TOLD_S = 1.0
    site.register("proxy-6", 6, f"{OTHER}:19529")
    site.note(7)  # and no word of the other one
    site.node.channels = 1
    assert site.vacate(2.0) == {"schema": 1, "node": 9, "left": 1, "untold": []}
    site.node.channels = 0
    site.note(9, address=OTHER)
    assert site.vacate(SOON_S)["untold"] == sorted([OWN, OTHER])


def test_a_query_node_that_ends_meanwhile_has_nothing_left(
    site: Site, beside: ThreadPoolExecutor
) -> None:
    lease = (site.session() or {})["lease"]
    site.etcd.ask(NAMES[0], "kv/deleterange", {"key": coded("bergen/meta/session/proxy-5")})
    left = Counted(site.program, "left_on")
    site.node.segments = 1
    done = beside.submit(site.vacate)
    left.await_more(done)
    site.etcd.ask(NAMES[0], "lease/revoke", {"ID": lease})
    assert done.result(SOON_S) == {"schema": 1, "node": 9, "left": 0, "untold": []}


def test_without_any_proxy_nobody_is_waited_for(site: Site) -> None:
    site.etcd.ask(NAMES[0], "kv/deleterange", {"key": coded("bergen/meta/session/proxy-5")})
    assert site.vacate() == {"schema": 1, "node": 9, "left": 0, "untold": []}


def test_whose_proxy_may_send_to_a_node_is_read_by_revision(site: Site) -> None:
    def untold(node: int = 9, since: int = 0) -> list[str]:
        found: list[str] = site.program.untold_by(site.settings, node, since)
        return found

    def revision() -> int:
        return int(site.program.below(site.settings, "/meta/session/")[1])

    site.register("proxy-6", 6, f"{OTHER}:19529")
    assert untold() == [OTHER, OWN]
    site.note(7)
    site.note(7, address=OTHER)
    assert untold() == []
    since = revision()
    assert untold(since=since) == [OTHER, OWN], "what was noted until then does not count"
    site.note(7)
    assert untold(since=since) == [OTHER]
    site.note(7, 9, address=OTHER)
    assert untold(since=since) == [OTHER]
    assert untold(node=8, since=since) == []
    site.note(7, settled=False, address=OTHER)
    assert untold(node=8, since=since) == [OTHER]
    site.note(9, address="10.20.0.26")
    site.note(7, address=OTHER)
    assert untold(since=since) == [], "a member without a proxy is not asked"


@pytest.fixture
def loaded(site: Site) -> Site:
    """A collection of another database that the query node leads."""
    site.register("querycoord", 4, site.coordinator.where)
    site.put(f"meta/querycoord-collection-loadinfo/{COLLECTION}", "any")
    site.put(f"meta/querycoord-collection-loadinfo/{COLLECTION}/7", "of a partition")
    site.put("meta/root-coord/database/db-info/3", "\x12\x04docs\x18\x03")
    site.put(f"meta/root-coord/database/collection-info/3/{COLLECTION}", "any")
    site.coordinator.says(QUERY_COORDINATOR, leaders({CHANNEL: [9]}))
    site.node.views = {(COLLECTION, CHANNEL): 5}
    return site


def told_of(role: Role) -> list[tuple[str, int]]:
    asked = [CLASSES["InvalidateCollMetaCacheRequest"].FromString(a) for _, a in role.asked]
    return [(a.db_name, a.collectionID) for a in asked]


def test_the_proxy_is_told_once_all_are_whole(loaded: Site) -> None:
    known, look = loaded.program.Leaders(), loaded.program.look
    record, told = look(loaded.settings, known)
    assert (record["settled"], record["nodes"], told) == (False, [9], [])
    assert loaded.proxy.asked == []
    loaded.node.views = {(COLLECTION, CHANNEL): 6}
    record, told = look(loaded.settings, known)
    assert (record["settled"], record["nodes"], told) == (True, [9], [COLLECTION])
    assert told_of(loaded.proxy) == [("docs", COLLECTION)]
    look(loaded.settings, known)
    assert len(loaded.proxy.asked) == 1


def test_a_proxy_that_refuses_is_told_again_and_one_that_does_not_run_may_begin(
    loaded: Site,
) -> None:
    known, look = loaded.program.Leaders(), loaded.program.look
    look(loaded.settings, known)
    loaded.node.views = {(COLLECTION, CHANNEL): 6}
    loaded.proxy.says(PROXY, refused("not healthy", error_code=1))
    for _ in range(2):
        record, told = look(loaded.settings, known)
        assert (record["settled"], told) == (False, [COLLECTION])
    loaded.proxy.stop()
    record, _ = look(loaded.settings, known)
    assert record["settled"], "it asks when it begins"
    assert look(loaded.settings, known)[1] == []


def test_what_is_not_seen_is_not_settled(loaded: Site) -> None:
    known, look = loaded.program.Leaders(), loaded.program.look
    look(loaded.settings, known)
    loaded.node.views = {(COLLECTION, CHANNEL): 6}
    assert look(loaded.settings, known)[0]["settled"]
    status = refused("no leader", error_code=1, code=503)
    loaded.coordinator.says(QUERY_COORDINATOR, message("GetShardLeadersResponse", status=status))
    assert not look(loaded.settings, known)[0]["settled"]
    loaded.etcd.ask(NAMES[0], "kv/deleterange", {"key": coded("bergen/meta/session/querycoord")})
    assert not look(loaded.settings, known)[0]["settled"]


def test_it_waits_for_a_record_that_is_new_and_settled(
    site: Site, beside: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waited(deadline_s: float) -> bool:
        """Return whether it went on by itself."""
        begun = time.monotonic()
        site.program.wait(deadline_s)
        return time.monotonic() - begun < deadline_s

    assert not waited(0.2), "there is no record"
    site.note(7, settled=False)
    assert not waited(0.2)
    done = beside.submit(waited, SOON_S)
    site.note(7)
    assert done.result(SOON_S)
    monkeypatch.setattr(site.program, "FRESH_S", -1.0)
    assert not waited(0.2), "an old record says nothing of now"
