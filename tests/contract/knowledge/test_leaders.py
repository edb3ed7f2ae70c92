"""permafrost-knowledge-leaders on a member: real etcd, and roles of Milvus told what to say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.knowledge.etcd_bench import NAMES, Etcd, etcd_program
from tests.contract.knowledge.leaders_bench import OWN, SOON_S, Counted, Site, awaited, coded
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

OTHER = "10.20.0.25"
COLLECTION, CHANNEL = 446050, "bergen-dml_0_446050v0"
pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    folder = tmp_path_factory.mktemp("etcd")
    with Etcd(etcd_program(folder), folder).running_for_a_block() as cluster:
        yield cluster


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


LED_BY_TWO = {"446050": {CHANNEL: [9, 11]}}
LED_BY_OTHERS = {"446050": {CHANNEL: [10, 11]}}


def test_a_query_node_is_forgotten_and_serves_on_until_no_proxy_knows_it(
    site: Site, beside: ThreadPoolExecutor
) -> None:
    """The coordinator hears of an end that is none: of a key with the node's own value."""
    before = site.session()
    assert before is not None
    site.note(9, settled=False, leaders=LED_BY_TWO)
    untold = Counted(site.program, "untold_by")
    done = beside.submit(site.vacate)
    untold.await_more(done)
    assert not site.is_marked(), "not while a proxy knows one that is not whole"
    site.note(9, 11, leaders=LED_BY_TWO)
    awaited(site.is_marked)
    assert site.value("permafrost-forgotten/querynode-9") == before, "noted, with its lease"
    ended = site.before_its_end("meta/session/querynode-9-forgotten")
    assert ended == before, "the value that the coordinator reads, with the node's own lease"
    assert site.session() == {**before, "Stopping": True}, "for a coordinator that takes over"
    assert site.program.nodes_of(site.program.sessions_of(site.settings))[9] == site.node.where
    untold.await_more(done)  # the note is from before
    site.note(9, 10, 11, leaders=LED_BY_TWO)
    untold.await_more(done)
    site.note(11, leaders={"446050": {CHANNEL: [11]}})
    untold.await_more(done)  # whole, and one fewer than before
    site.note(10, 11, settled=False, leaders=LED_BY_OTHERS)
    untold.await_more(done)
    site.note(10, 11, leaders=LED_BY_OTHERS)
    assert done.result(SOON_S) == {"schema": 1, "node": 9, "untold": []}
    site.etcd.ask(NAMES[0], "lease/revoke", {"ID": before["lease"]})
    assert not site.value("permafrost-forgotten/querynode-9"), "and with the process it is gone"


def test_a_collection_that_is_released_meanwhile_is_not_waited_for(
    site: Site, beside: ThreadPoolExecutor
) -> None:
    site.note(9, 11, leaders={**LED_BY_TWO, "446051": {"other": [9, 11]}})
    done = beside.submit(site.vacate)
    awaited(site.is_marked)
    site.note(10, 11, leaders=LED_BY_OTHERS)
    assert done.result(SOON_S)["untold"] == []


def test_what_a_member_that_is_gone_noted_last_does_not_count(
    site: Site, beside: ThreadPoolExecutor
) -> None:
    """Its note is from a time when fewer led: then one leader too few would be waited for."""
    site.note(9, address=OTHER, leaders={"446050": {CHANNEL: [9]}})
    site.note(9, 11, leaders=LED_BY_TWO)
    untold = Counted(site.program, "untold_by")
    done = beside.submit(site.vacate)
    awaited(site.is_marked)
    site.note(11, leaders={"446050": {CHANNEL: [11]}})
    untold.await_more(done)
    site.note(10, 11, leaders=LED_BY_OTHERS)
    assert done.result(SOON_S)["untold"] == []


def test_the_mark_goes_with_the_process_that_it_is_of(site: Site) -> None:
    before = site.session()
    assert before is not None
    site.note(7)
    assert site.vacate(1.0)["untold"] == [OWN]
    assert site.is_marked()
    site.etcd.ask(NAMES[0], "lease/revoke", {"ID": before["lease"]})
    assert site.session() is None
    assert site.vacate() == {"schema": 1, "node": 0, "untold": []}


def test_who_is_not_told_is_said_in_the_end(site: Site) -> None:
    site.program.TOLD_S = 1.0
    site.register("proxy-6", 6, f"{OTHER}:19529")
    site.note(7)  # and no word of the other one
    assert site.vacate(3.0) == {"schema": 1, "node": 9, "untold": sorted([OWN, OTHER])}


def test_without_any_proxy_nobody_is_waited_for(site: Site) -> None:
    site.etcd.ask(NAMES[0], "kv/deleterange", {"key": coded("bergen/meta/session/proxy-5")})
    assert site.vacate() == {"schema": 1, "node": 9, "untold": []}


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
    # Milvus' own message: its number, and a schema that begins with its name.
    site.put(
        f"meta/root-coord/database/collection-info/3/{COLLECTION}", "\x08\x07\x12\x08\n\x06papers"
    )
    site.coordinator.says(QUERY_COORDINATOR, leaders({CHANNEL: [9]}))
    site.node.views = {(COLLECTION, CHANNEL): 5}
    return site


@pytest.fixture
def public(loaded: Site) -> list[tuple[str, str]]:
    """Who was asked for at the proxy's port for clients."""
    found: list[tuple[str, str]] = []
    loaded.settings["public"] = "where clients come"

    def have_asked(where: str, database: str, name: str) -> None:
        assert where == "where clients come"
        found.append((database, name))
        if len(found) < 3:
            raise OSError("collection not loaded")

    loaded.program.have_asked = have_asked
    return found


def test_a_proxy_that_was_told_is_asked_until_it_has_an_answer(
    loaded: Site, public: list[tuple[str, str]]
) -> None:
    known, look = loaded.program.Leaders(), loaded.program.look
    look(loaded.settings, known)
    assert public == [], "it was told nothing"
    loaded.node.views = {(COLLECTION, CHANNEL): 6}
    for _ in range(5):
        look(loaded.settings, known)
    assert public == [("docs", "papers")] * 3
    assert len(loaded.proxy.asked) == 1


def test_a_proxy_that_never_answers_is_let_be(loaded: Site, public: list[tuple[str, str]]) -> None:
    known, look = loaded.program.Leaders(), loaded.program.look
    loaded.program.ASKED_TIMES = 2
    for version in (5, 6, 6, 6, 6):
        loaded.node.views = {(COLLECTION, CHANNEL): version}
        look(loaded.settings, known)
    assert len(public) == 2
    assert look(loaded.settings, known)[0]["settled"], "it was told; a search will have it ask"


def test_nobody_asks_for_leaders_that_may_not_be_whole(
    loaded: Site, public: list[tuple[str, str]]
) -> None:
    known, look = loaded.program.Leaders(), loaded.program.look
    look(loaded.settings, known)
    loaded.node.views = {(COLLECTION, CHANNEL): 6}
    look(loaded.settings, known)
    loaded.coordinator.says(QUERY_COORDINATOR, leaders({CHANNEL: [9, 10]}))
    look(loaded.settings, known)
    assert len(public) == 1, "another is listed, and nobody has seen it whole"
    loaded.coordinator.says(QUERY_COORDINATOR, leaders({CHANNEL: [9]}))
    look(loaded.settings, known)
    assert len(public) == 1, "a search will"


def test_a_proxy_that_has_begun_anew_knows_nothing(
    loaded: Site, public: list[tuple[str, str]]
) -> None:
    known, look = loaded.program.Leaders(), loaded.program.look
    loaded.register("proxy-5", 5, loaded.proxy.where)
    for version in (5, 6, 7):
        loaded.node.views = {(COLLECTION, CHANNEL): version}
        look(loaded.settings, known)
    assert len(loaded.proxy.asked) == 1
    loaded.etcd.ask(NAMES[0], "kv/deleterange", {"key": coded("bergen/meta/session/proxy-5")})
    look(loaded.settings, known)
    assert len(loaded.proxy.asked) == 1, "it is away"
    loaded.register("proxy-6", 6, loaded.proxy.where)
    asked = len(public)
    look(loaded.settings, known)
    assert (len(loaded.proxy.asked), len(public)) == (2, asked + 1)
    look(loaded.settings, known)
    assert len(loaded.proxy.asked) == 2


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


@pytest.fixture
def another() -> Iterator[QueryNode]:
    found = QueryNode(10)
    yield found
    found.stop()


def test_who_is_forgotten_and_serves_on_is_read_from_etcd(
    loaded: Site, another: QueryNode
) -> None:
    """Two lead, one of them goes: the proxy is not told before another leads in its place."""
    known, look = loaded.program.Leaders(), loaded.program.look
    loaded.register("querynode-10", 10, another.where)
    loaded.coordinator.says(QUERY_COORDINATOR, leaders({CHANNEL: [9, 10]}))
    for version in (5, 6):
        loaded.node.views = another.views = {(COLLECTION, CHANNEL): version}
        look(loaded.settings, known)
    assert look(loaded.settings, known)[0]["settled"]
    sessions = loaded.program.sessions_of(loaded.settings)
    mine = {key: value for key, value in sessions.items() if value["ServerID"] == 9}
    loaded.program.forget(loaded.settings, mine, is_marked=False)
    loaded.coordinator.says(QUERY_COORDINATOR, leaders({CHANNEL: [10]}))
    for _ in range(2):
        record, told = look(loaded.settings, known)
        assert (record["settled"], record["nodes"], told) == (False, [9, 10], [])
    lease = (loaded.session() or {})["lease"]
    loaded.etcd.ask(NAMES[0], "lease/revoke", {"ID": lease})
    record, told = look(loaded.settings, known)
    assert (record["settled"], record["nodes"], told) == (True, [10], [COLLECTION])


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


def test_beside_another_version_it_is_not_marked(site: Site, beside: ThreadPoolExecutor) -> None:
    """A coordinator that took over would have it hand over bit by bit (ADR 25)."""
    before = site.session()
    site.register("querynode-10", 10, f"{OTHER}:21123", Version="2.3.4")
    site.note(9)
    done = beside.submit(site.vacate)
    awaited(lambda: site.before_its_end("meta/session/querynode-9-forgotten"))
    site.note(7)
    assert done.result(SOON_S) == {"schema": 1, "node": 9, "untold": []}
    assert site.session() == before, "neither marked nor gone"
    assert site.value("permafrost-forgotten/querynode-9") == before
