"""How permafrost-knowledge-leaders speaks gRPC, against a server that others have written."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest

from permafrost.pki.store import SitePki
from tests.contract.knowledge.milvus_bench import (
    CLASSES,
    PROXY,
    QUERY,
    QUERY_COORDINATOR,
    QUERY_NODE,
    QueryNode,
    Role,
    leaders,
    message,
    refused,
)
from tests.golden.ansible.programs import leaders_program

CHANNEL = "bergen-dml_0_100v0"


@pytest.fixture
def program(tmp_path: Path) -> ModuleType:
    return leaders_program(tmp_path, "bergen-knowledge-01")


@pytest.fixture
def role() -> Iterator[Role]:
    found = Role()
    yield found
    found.stop()


@pytest.fixture
def node() -> Iterator[QueryNode]:
    found = QueryNode(2**62 + 9)
    yield found
    found.stop()


def test_who_leads_is_read_as_the_coordinator_says_it(program: ModuleType, role: Role) -> None:
    role.says(QUERY_COORDINATOR, leaders({CHANNEL: [300, 7, 2**40], "other": []}))
    assert program.leaders_of(role.where, 446050) == {CHANNEL: [7, 300, 2**40], "other": []}
    ((_, asked),) = role.asked
    assert CLASSES["GetShardLeadersRequest"].FromString(asked).collectionID == 446050
    role.says(QUERY_COORDINATOR, leaders({}))
    assert program.leaders_of(role.where, 446050) == {}


def test_numbers_are_read_together_and_one_by_one(program: ModuleType) -> None:
    """As an older writer may have them: [7, 300] in one field, 9 in another, and one of others."""
    message = program.fields(bytes.fromhex("120307ac02" + "1009" + "1805" + "250000000a"))
    assert program.numbers(message, 2) == [7, 300, 9]


def test_what_a_query_node_leads_is_read_as_it_says_it(
    program: ModuleType, node: QueryNode
) -> None:
    version = 1764216256000000000
    node.views = {(100, CHANNEL): version, (101, "c1"): 0}
    node.segments, node.channels = 3, 2
    versions = program.targets_of(node.where, node.number)
    assert versions == {(100, CHANNEL): version, (101, "c1"): 0}
    ((_, asked),) = node.asked
    assert CLASSES["GetDataDistributionRequest"].FromString(asked).base.targetID == node.number
    node.views = {}
    assert program.targets_of(node.where, node.number) == {}


@pytest.mark.parametrize("segments", [2_000, 40_000])
def test_an_answer_of_many_frames_and_windows_comes_whole(
    program: ModuleType, node: QueryNode, segments: int
) -> None:
    """A frame has 16 KiB and a window 64 KiB, unless a client allows more."""
    node.segments, node.views = segments, {(100, CHANNEL): 5}
    size = len(node.answers[QUERY_NODE](asked_of(node.number), None).SerializeToString())
    assert size > 65_535
    assert program.targets_of(node.where, node.number) == {(100, CHANNEL): 5}


def asked_of(number: int) -> bytes:
    base = message("MsgBase", targetID=number)
    return bytes(message("GetDataDistributionRequest", base=base).SerializeToString())


def test_another_process_at_the_same_port_says_nothing_of_this_one(
    program: ModuleType, node: QueryNode
) -> None:
    with pytest.raises(OSError, match="node id not match"):
        program.targets_of(node.where, node.number - 1)


def test_a_proxy_is_told_by_number_and_database(program: ModuleType, role: Role) -> None:
    role.says(PROXY, message("Status"))
    program.ask_anew(role.where, "default", 446050)
    ((_, asked),) = role.asked
    found = CLASSES["InvalidateCollMetaCacheRequest"].FromString(asked)
    assert (found.db_name, found.collection_name, found.collectionID) == ("default", "", 446050)
    assert found.HasField("base"), "it reads the kind of message without looking"


def test_a_proxy_has_a_search_at_once_by_tls_as_one_of_its_own_roles(
    program: ModuleType, tmp_path: Path
) -> None:
    issued = SitePki(tmp_path, "oslo", None).server_certificate("oslo-knowledge-01")
    role = Role((issued.key_pem.encode(), issued.certificate_pem.encode()))
    seen: list[dict[str, str]] = []

    def say(_: bytes, context: Any) -> Any:
        seen.append(dict(context.invocation_metadata()))
        return message("QueryResults", status=message("Status"))

    role.answers[QUERY] = say
    try:
        program.have_asked(role.where, "docs", "papers")
        ((_, asked),) = role.asked
        role.says(
            QUERY, message("QueryResults", status=refused("collection not loaded", code=101))
        )
        with pytest.raises(OSError, match="collection not loaded"):
            program.have_asked(role.where, "docs", "papers")
    finally:
        role.stop()
    found = CLASSES["QueryRequest"].FromString(asked)
    assert (found.db_name, found.collection_name) == ("docs", "papers")
    assert list(found.output_fields) == ["count(*)"]
    assert found.guarantee_timestamp == 1, "it waits for no row"
    (headers,) = seen
    assert base64.b64decode(headers["sourceid"]) == b"@@milvus-member@@"
    assert base64.b64decode(headers["authorization"]) == b"root:", "there is no password"


@pytest.mark.parametrize(
    "numbers", [{"error_code": 1}, {"code": 65535}, {"error_code": 1, "code": 5}]
)
def test_a_refusal_by_status_is_an_error(
    program: ModuleType, role: Role, numbers: dict[str, int]
) -> None:
    status = refused("not healthy", **numbers)
    role.says(PROXY, status)
    role.says(QUERY_COORDINATOR, message("GetShardLeadersResponse", status=status))
    role.says(QUERY_NODE, message("GetDataDistributionResponse", status=status, nodeID=9))
    with pytest.raises(OSError, match="not healthy"):
        program.ask_anew(role.where, "default", 446050)
    with pytest.raises(OSError, match="not healthy"):
        program.leaders_of(role.where, 446050)
    with pytest.raises(OSError, match="not healthy"):
        program.targets_of(role.where, 9)


def test_an_answer_that_says_nothing_of_its_status_is_right(
    program: ModuleType, role: Role
) -> None:
    role.says(QUERY_NODE, message("GetDataDistributionResponse", nodeID=9))
    assert program.targets_of(role.where, 9) == {}


def test_an_error_of_grpc_is_one_with_a_message_and_without(
    program: ModuleType, role: Role
) -> None:
    def refuse(_: bytes, context: Any) -> None:
        context.abort(grpc.StatusCode.UNAVAILABLE, "")

    role.answers[QUERY_COORDINATOR] = refuse
    with pytest.raises(OSError, match="refusal"):
        program.leaders_of(role.where, 446050)
    with pytest.raises(OSError, match="refusal"):
        program.targets_of(role.where, 9)  # a call that it does not know


def test_a_role_that_hangs_is_not_waited_for(
    program: ModuleType, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def hang(*_: object) -> Any:
        goes_on.wait(30)
        return message("Status")

    role.answers[PROXY] = hang
    with pytest.raises(TimeoutError):
        program.call(role.where, PROXY, program.number(4, 446050), timeout_s=0.3)
    assert not goes_on.is_set()
    goes_on.set()


def test_a_port_where_nobody_speaks_or_somebody_else_is_an_error(program: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(TimeoutError):
            program.call(where, PROXY, b"", timeout_s=0.3)
        with listener.accept()[0] as first:
            assert first.recv(24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        with pytest.raises(OSError, match=r"hung up|reset"):
            program.call(where, PROXY, b"")
    with pytest.raises(ConnectionRefusedError):
        program.call(where, PROXY, b"")
