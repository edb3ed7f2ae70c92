"""permafrost-knowledge empties query nodes before it stops them, and starts emptied ones anew.

``systemctl`` and the program that empties are scripts here that write down how they are called.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.contract.knowledge.test_member_command import ETCD, server
from tests.golden.ansible.programs import knowledge_program

__all__ = ["server"]
OWN = "10.20.0.25"
PORTS = {"milvus-query-1": 21123, "milvus-query-2": 21133}
SERVING = [["milvus-proxies"], ["milvus-query-1", "milvus-query-2"], ["milvus-coordinators"]]
EMPTIED = '{"schema": 1, "node": 9, "untold": []}'


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = knowledge_program(tmp_path, "bergen-knowledge-02")
    found.LEADERS, found.ANSWERED_S = str(tmp_path / "leaders"), 0.0
    script(tmp_path / "systemctl", "")
    script(tmp_path / "podman", "")
    script(tmp_path / "leaders", f"echo '{EMPTIED}'")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return found


def script(file: Path, does: str) -> None:
    file.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >> {file.parent}/calls\n{does}\n')
    file.chmod(0o755)


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines()


def settings(**more: Any) -> dict[str, Any]:
    units = [unit for names in SERVING for unit in names]
    found = {"etcd": [], "address": OWN, "root": "bergen", "coordinators": [], "serving": SERVING}
    return {**found, "units": ["etcd", *units], "query_ports": PORTS, **more}


STOPS = [
    "systemctl stop milvus-proxies.service",
    "systemctl stop milvus-query-1.service milvus-query-2.service",
    "systemctl stop milvus-coordinators.service",
]


def ends(*units: str) -> list[str]:
    """Nobody takes what a forgotten one has: told to stop it would wait for that for a minute."""
    services = " ".join(f"{unit}.service" for unit in units)
    return [
        f"systemctl stop --no-block {services}",
        f"podman kill --signal=KILL {' '.join(units)}",
    ]


def test_query_nodes_are_emptied_one_by_one_and_then_ended(
    program: ModuleType, tmp_path: Path
) -> None:
    found = program.hand_over(settings())
    first, *rest = calls(tmp_path)
    assert first == STOPS[0]
    assert [line.rsplit(" ", 1)[0] for line in rest[:2]] == [
        "leaders vacate 21123",
        "leaders vacate 21133",
    ]
    assert rest[2:] == [*ends(*PORTS), *STOPS[1:]]
    deadlines = [float(line.rsplit(" ", 1)[1]) for line in rest[:2]]
    assert program.VACATE_S >= deadlines[0] > deadlines[1] > 0, "one time for all that are here"
    emptied = {"schema": 1, "node": 9, "untold": []}
    assert found["emptied"] == [{"unit": unit, **emptied} for unit in PORTS]


@pytest.mark.parametrize(
    ("does", "error"),
    [
        ("echo 'OSError: no member of etcd' >&2; exit 1", "no member of etcd"),
        ("echo not a document", "Expecting value"),
        ("exec sleep 60", "timed out"),
        (None, "No such file"),
    ],
    ids=["failed", "unread", "hangs", "absent"],
)
def test_what_cannot_be_emptied_is_stopped_all_the_same(
    program: ModuleType, tmp_path: Path, does: str | None, error: str
) -> None:
    """As before: Milvus then hands over by itself, as long as it has until it is killed."""
    program.VACATE_S = -29.7  # the program is waited for thirty seconds longer
    if does is None:
        (tmp_path / "leaders").unlink()
    else:
        script(tmp_path / "leaders", does)
    found = program.hand_over(settings())
    assert [line for line in calls(tmp_path) if line.startswith("systemctl")] == STOPS
    assert [each["unit"] for each in found["emptied"]] == list(PORTS)
    assert all(error in each["error"] for each in found["emptied"])


def test_who_was_not_told_is_said_and_it_is_ended(program: ModuleType, tmp_path: Path) -> None:
    told = {"schema": 1, "node": 9, "untold": ["10.20.0.24"]}
    script(tmp_path / "leaders", f"echo '{json.dumps(told)}'")
    found = program.hand_over(settings())
    assert found["emptied"] == [{"unit": unit, **told} for unit in PORTS]
    assert calls(tmp_path)[-4:] == [*ends(*PORTS), *STOPS[1:]]


def test_one_that_has_not_registered_is_stopped(program: ModuleType, tmp_path: Path) -> None:
    script(tmp_path / "leaders", """echo '{"schema": 1, "node": 0, "untold": []}'""")
    program.hand_over(settings())
    assert calls(tmp_path)[-2:] == STOPS[1:]


def test_a_version_whose_proxies_ask_by_themselves_stops_as_it_always_did(
    program: ModuleType, tmp_path: Path
) -> None:
    found = program.hand_over(settings(query_ports={}))
    assert calls(tmp_path) == STOPS
    assert found["emptied"] == []


def test_a_query_node_that_begins_anew_is_emptied_before(
    program: ModuleType, tmp_path: Path
) -> None:
    program.restart(settings(), "milvus-query-2")
    program.restart(settings(), "milvus-proxies")
    emptied, *rest = calls(tmp_path)
    assert emptied.startswith("leaders vacate 21133 ")
    assert rest == [
        *ends("milvus-query-2"),
        "systemctl restart milvus-query-2.service",
        "systemctl restart milvus-proxies.service",
    ]


def test_a_spare_is_started_and_is_emptied_before_it_is_stopped(
    program: ModuleType, tmp_path: Path
) -> None:
    assert program.start(settings(), "milvus-query-2")["started"] == "milvus-query-2"
    assert calls(tmp_path) == ["systemctl start milvus-query-2.service"]
    found = program.stop(settings(), "milvus-query-2")
    assert (found["stopped"], found["emptied"][0]["untold"]) == ("milvus-query-2", [])
    emptied, *stopped = calls(tmp_path)[1:]
    assert emptied.startswith("leaders vacate 21133 ")
    assert stopped == [*ends("milvus-query-2"), "systemctl stop milvus-query-2.service"]
    for told in (program.start, program.stop):
        with pytest.raises(OSError, match="is called etcd"):
            told(settings(), "etcd")


def session(name: str, address: str, **more: object) -> dict[str, str]:
    key = base64.b64encode(f"bergen/meta/session/{name}".encode()).decode()
    value = json.dumps({"ServerID": 7, "ServerName": name, "Address": address, **more})
    return {"key": key, "value": base64.b64encode(value.encode()).decode()}


def test_an_emptied_query_node_begins_anew_and_others_are_left_alone(
    program: ModuleType, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = settings(etcd=["http://127.0.0.1:1", server])
    sessions = [
        session("querynode-7", f"{OWN}:21123", Stopping=False),
        session("querynode-8", f"{OWN}:21133", Stopping=True),
        session("querynode-9", "10.20.0.26:21123", Stopping=True),
        session("proxy-5", f"{OWN}:19529"),
    ]
    monkeypatch.setitem(ETCD, "/v3/kv/range", {"kvs": sessions})
    started = [f"{unit}.service" for unit in told["units"]]
    start = f"systemctl start --no-block {' '.join(started)}"
    assert program.take_up(told) == {"schema": 1, "started": started}
    again = "systemctl try-restart --no-block milvus-query-2.service"
    assert calls(tmp_path) == [again, start]
    monkeypatch.setitem(ETCD, "/v3/kv/range", {"kvs": sessions[:1] + sessions[2:]})
    program.take_up(told)
    assert calls(tmp_path)[2:] == [start]
    program.take_up(settings(etcd=["http://127.0.0.1:1"]))
    assert calls(tmp_path)[3:] == [start], "where etcd does not answer, too"


def test_what_was_noted_of_leaders_is_in_the_document(
    program: ModuleType, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noted(address: str, text: str) -> dict[str, str]:
        key = base64.b64encode(f"bergen/permafrost-leaders/{address}".encode()).decode()
        return {"key": key, "value": base64.b64encode(text.encode()).decode()}

    record = {"schema": 1, "settled": True, "nodes": [7], "leaders": {"100": {"c0": [7]}}}
    pairs = [
        session("querynode-8", f"{OWN}:21133", Stopping=True),
        noted(OWN, json.dumps(record)),
        noted("10.20.0.26", "{"),
    ]
    monkeypatch.setitem(ETCD, "/v3/kv/range", {"kvs": pairs})
    found = program.etcd(settings(etcd=[server]))
    assert found["leaders"] == {OWN: record}
    assert [each["is_stopping"] for each in found["sessions"]] == [True]
