"""What a bench of gaps sees of a tier, with clients and a tier that stand for the real ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.acceptance.driver import Cli
from tests.bench import knowledge_gaps, knowledge_tier
from tests.bench.gaps import Gap
from tests.bench.knowledge_gaps import UNITS, Load, event
from tests.bench.knowledge_tier import ANEW, STARTED, STOP, Tier, is_whole
from tests.bench.milvus_members import Member
from tests.knowledge.driver import Door
from tests.knowledge.vectors import vectors

ONE, TWO, THREE = (f"lab-knowledge-0{n}" for n in (1, 2, 3))
DOWN_S = 2.0
SHORT = {"QUIET_S": 1.0, "AT_LEAST_S": 1.0, "AT_MOST_S": 8.0, "SETTLED_S": 1.0}


@dataclass
class Server:
    """A collection that may be down, answer wrongly, or lose what it acknowledged."""

    known: np.ndarray
    rows: set[int] = field(default_factory=set)
    down_until: float = 0.0
    is_wrong: bool = False
    loses: bool = False

    def client(self, *_: object) -> Server:
        return self

    def asked(self) -> None:
        if time.monotonic() < self.down_until:
            raise RuntimeError("no coordinator")

    def search(self, _: str, data: list[list[float]], **more: object) -> list[list[Any]]:
        self.asked()
        nearest = int(np.argmax(self.known @ np.asarray(data[0], np.float32)))
        return [[{"id": nearest + self.is_wrong}]]

    def insert(self, _: str, rows: list[dict[str, Any]], **more: object) -> None:
        self.asked()
        if not self.loses:
            self.rows |= {row["id"] for row in rows}

    def query(self, *_: object, **more: object) -> list[dict[str, int]]:
        return [{"id": key} for key in self.rows]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """It, and a bench that looks for seconds instead of minutes."""
    for name, seconds in SHORT.items():
        monkeypatch.setattr(knowledge_gaps, name, seconds)
    return Server(vectors(500))


def load_of(server: Server) -> Load:
    users = {"app": "", "loader": "", "root": ""}
    return Load(cast(Door, server), users, server.known)


def gaps(server: Server, strike: Any, tmp_path: Path) -> dict[str, Gap]:
    load = load_of(server)
    return load.gaps(load.asked(strike, tmp_path / "asked.jsonl"))


def test_an_outage_is_seen_by_both_kinds_and_waited_for(server: Server, tmp_path: Path) -> None:
    def strike() -> None:
        server.down_until = time.monotonic() + DOWN_S

    for gap in gaps(server, strike, tmp_path).values():
        assert DOWN_S - 0.3 < gap.outage_s < DOWN_S + 3
        assert (gap.wrong, gap.has_ended) == (0, True)
        assert gap.failed > 2
    assert (tmp_path / "asked.jsonl").read_text().count("no coordinator") > 4


def test_wrong_answers_and_lost_inserts_are_counted(server: Server, tmp_path: Path) -> None:
    def strike() -> None:
        server.is_wrong = server.loses = True
        threading.Timer(1, recover).start()

    def recover() -> None:
        server.is_wrong = server.loses = False

    found = gaps(server, strike, tmp_path)
    assert found["search"].wrong > 2
    assert found["insert"].wrong > 2
    assert found["search"].failed == found["insert"].failed == 0


@pytest.mark.thorough
def test_what_does_not_end_is_said_to_last_and_lost_is_what_is_so_once_it_is_mended(
    server: Server, tmp_path: Path
) -> None:
    def strike() -> None:
        server.down_until = time.monotonic() + 3600

    load = load_of(server)
    asked = load.asked(strike, tmp_path / "asked.jsonl")
    server.down_until = 0
    server.rows.discard(min(server.rows))
    found = load.gaps(asked)
    assert not any(gap.has_ended for gap in found.values())
    assert all(gap.outage_s >= 8 for gap in found.values())
    assert (found["search"].wrong, found["insert"].wrong) == (0, 1)


class Commands(Cli):
    """``permafrost`` and ``permafrost-lab`` of a tier that does what scripts tell it."""

    def __init__(self, active: str) -> None:
        super().__init__(Path("permafrost"))
        object.__setattr__(self, "did", [])
        object.__setattr__(self, "active", active)

    did: list[str]
    active: str

    def json(self, *args: str, timeout: float = 300) -> Any:
        units = {
            ONE: ["etcd", "kafka", "milvus-coordinators"],
            TWO: ["kafka", "milvus-query-2", "milvus-query-1", "milvus-coordinators"],
            THREE: ["kafka", "milvus-query-1"],
        }
        standby = [TWO if self.active == ONE else ONE]
        coordinator = {"role": "rootcoord", "active": self.active, "standby": standby}
        members = [
            {"name": name, "host": f"esx-{name[-1]}", "units": dict.fromkeys(here, "active")}
            for name, here in units.items()
        ]
        return {"knowledge": {"ready": True, "members": members, "coordinators": [coordinator]}}

    def run(self, *args: str, expect: int | None = 0, timeout: float = 300) -> Any:
        self.did.append(" ".join(args))

    def at(self, name: str) -> Member:
        def sh(script: str, _: str | None) -> str:
            words = {STOP: "stop", ANEW: "anew", STARTED: "started"}
            self.did.append(f"{words[script]} {name}")
            if (script, name) == (ANEW, ONE):
                object.__setattr__(self, "active", ONE)
            return ""

        return Member(name, sh, ())


def tier_of(commands: Commands) -> Tier:
    members = tuple(commands.at(name) for name in (ONE, TWO, THREE))
    return Tier(commands, commands, members, ONE, (TWO,), "", ())


@pytest.mark.parametrize(
    ("active", "did"),
    [(ONE, [f"anew {TWO}"]), (TWO, [f"stop {TWO}", f"anew {ONE}", f"anew {TWO}"])],
)
def test_every_event_begins_with_the_first_coordinators_and_fresh_standbys(
    active: str, did: list[str]
) -> None:
    commands = Commands(active)
    tier_of(commands).settle()
    assert commands.did == did


def kills() -> Iterator[tuple[str, str]]:
    yield "active coordinators killed", f"{ONE}:milvus-coordinators"
    yield "query node killed", f"{TWO}:milvus-query-1"
    yield "broker of the queue killed", f"{ONE}:kafka"


def test_each_event_kills_what_its_name_says() -> None:
    assert [name for name, _ in kills()] == list(UNITS)
    for name, target in kills():
        commands = Commands(ONE)
        with event(name, tier_of(commands)) as strike:
            assert commands.did == []
            strike()
        assert commands.did == [f"fault apply service-kill {target}.service"]


def fails_after(name: str, tier: Tier) -> None:
    with event(name, tier) as strike:
        strike()
        raise RuntimeError("no answer")


def test_a_lost_host_is_brought_back_also_where_its_measure_failed() -> None:
    commands = Commands(ONE)
    with pytest.raises(RuntimeError, match="no answer"):
        fails_after(knowledge_gaps.HOST, tier_of(commands))
    assert commands.did == ["fault apply host-lost esx-1", "fault heal all", "deploy --yes"]


def test_by_the_defaults_a_lost_host_is_brought_back_without_a_deployment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands = Commands(ONE)
    monkeypatch.setattr(knowledge_tier, "vcenter", lambda _: nullcontext("vcenter"))
    monkeypatch.setattr(knowledge_tier, "hosts_of", lambda _: {ONE: "esx-1"})
    monkeypatch.setattr(
        knowledge_tier, "bring_back", lambda *_: commands.did.append("vCenter switches on")
    )
    tier = replace(tier_of(commands), is_ours=False)
    with pytest.raises(RuntimeError, match="no answer"):
        fails_after(knowledge_gaps.HOST, tier)
    started = [f"started {name}" for name in (ONE, TWO, THREE)]
    assert commands.did == ["fault apply host-lost esx-1", "vCenter switches on", *started]


def test_a_tier_without_a_standby_is_not_whole() -> None:
    status = Commands(ONE).json("status")["knowledge"]
    assert is_whole(status, {ONE, TWO})
    status["coordinators"][0]["standby"] = []
    assert not is_whole(status, {ONE, TWO})


def test_ready_is_asked_for_where_milvus_runs_as_we_deploy_it() -> None:
    status = {**Commands(ONE).json("status")["knowledge"], "ready": False}
    assert not is_whole(status, {ONE, TWO})
    assert is_whole(status, {ONE, TWO}, is_ours=False)
    status["coordinators"][0]["standby"] = []
    assert not is_whole(status, {ONE, TWO}, is_ours=False)
