"""Deployed from the site file: whole, unchanged by a second run, and open to its users alone."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import grpc
import numpy as np
import pytest
from pymilvus import MilvusException
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

from tests.acceptance.driver import Cli, healthy
from tests.knowledge.driver import COLLECTION, Door
from tests.knowledge.test_losses import await_first_coordinators
from tests.knowledge.vectors import ROWS

SETTLED_S = 180.0
DENIED = (MilvusException, grpc.RpcError)
pytestmark = pytest.mark.own_lab


def test_status_says_what_answers_right(permafrost: Cli) -> None:
    status = healthy(permafrost, SETTLED_S)
    knowledge = status["knowledge"]
    assert knowledge["ready"]
    assert {m["host"] for m in knowledge["members"]} == {f"lab-esx-0{i}" for i in (1, 2, 3)}
    assert knowledge["quorums"]["etcd"]["answering"] == 3
    assert knowledge["quorums"]["queue"]["answering"] == 3
    assert knowledge["quorums"]["object_store"]["writable"]
    assert len(knowledge["coordinators"]) == 3
    assert all(c["active"] for c in knowledge["coordinators"])
    assert len(knowledge["proxies"]) == 2
    for proxy in knowledge["proxies"]:
        assert proxy["canaries"]["right"] == proxy["canaries"]["asked"] > 0
    assert {"name": "permafrost_canary", "loaded": 100} in knowledge["collections"]


@pytest.mark.soak
def test_a_second_deployment_changes_nothing(permafrost: Cli) -> None:
    await_first_coordinators(permafrost)
    permafrost.run("deploy", "--yes", timeout=1200)
    assert permafrost.json("deploy", "--yes", timeout=1200)["changed"] == 0
    for member in ("lab-knowledge-01", "lab-knowledge-03"):
        assert permafrost.json("converge", member, "--check", timeout=600)["changed"] == 0


def test_fifty_thousand_vectors_are_found_through_the_edge(
    known: np.ndarray, door: Door, users: dict[str, str]
) -> None:
    app = door.client("app", users["app"])
    rows = list(range(0, ROWS, ROWS // 100))
    for row in rows:
        (hits,) = app.search(
            COLLECTION,
            data=[known[row].tolist()],
            limit=3,
            search_params={"metric_type": "COSINE", "params": {"nprobe": 16}},
        )
        assert hits[0]["id"] == row
    count = app.query(COLLECTION, "", output_fields=["count(*)"], consistency_level="Strong")
    assert count[0]["count(*)"] >= ROWS


def test_a_user_may_do_what_the_site_file_grants_and_no_more(
    known: np.ndarray, door: Door, users: dict[str, str]
) -> None:
    app = door.client("app", users["app"])
    with pytest.raises(DENIED, match=r"(?i)permission|privilege"):
        app.insert(COLLECTION, [{"id": 10**9, "v": known[0].tolist()}])
    with pytest.raises(DENIED, match=r"(?i)permission|privilege"):
        app.drop_collection(COLLECTION)
    with pytest.raises(DENIED, match=r"(?i)permission|privilege"):
        app.create_user("mallory", "Mallory-1")


@pytest.mark.parametrize(
    ("user", "password"), [("app", "wrong"), ("nobody", "wrong"), ("root", "Milvus")]
)
def test_a_wrong_user_is_refused(
    door: Door, users: dict[str, str], user: str, password: str
) -> None:
    assert door.client("app", users["app"]).get_server_version()  # the right one is let in
    with pytest.raises(MilvusException):
        door.client(user, password, timeout=8).list_collections()


def test_who_calls_itself_a_role_of_milvus_is_refused(door: Door, users: dict[str, str]) -> None:
    """CVE-2025-64513: with this header Milvus 2.3 takes any password of any user, root's too."""
    member = ("sourceid", base64.b64encode(b"@@milvus-member@@").decode())

    def users_seen_by(password: str, *more: tuple[str, str]) -> list[str]:
        token = base64.b64encode(f"root:{password}".encode()).decode()
        trust = grpc.ssl_channel_credentials(root_certificates=door.ca.read_bytes())
        with grpc.secure_channel(door.address, trust) as channel:
            answer = milvus_pb2_grpc.MilvusServiceStub(channel).ListCredUsers(
                milvus_pb2.ListCredUsersRequest(),
                metadata=[("authorization", token), *more],
                timeout=15,
            )
            return list(answer.usernames)

    def refused(password: str, *more: tuple[str, str]) -> grpc.StatusCode:
        with pytest.raises(grpc.RpcError) as caught:
            users_seen_by(password, *more)
        code: grpc.StatusCode = caught.value.code()
        return code

    assert {"root", "app"} <= set(users_seen_by(users["root"]))
    assert refused("wrong") is grpc.StatusCode.UNAUTHENTICATED
    assert refused("wrong", member) is grpc.StatusCode.PERMISSION_DENIED
    # The control: it is the edge that refuses, whoever asks.
    assert refused(users["root"], member) is grpc.StatusCode.PERMISSION_DENIED


def test_without_tls_or_with_another_authority_there_is_no_connection(
    door: Door, users: dict[str, str], folder: Path
) -> None:
    token = base64.b64encode(f"app:{users['app']}".encode()).decode()

    def version(channel: grpc.Channel) -> str:
        # gRPC itself: pymilvus would use again the connection of an earlier client.
        with channel:
            stub = milvus_pb2_grpc.MilvusServiceStub(channel)
            answer = stub.GetVersion(
                milvus_pb2.GetVersionRequest(), metadata=[("authorization", token)], timeout=15
            )
            return str(answer.version)

    def trusting(file: Path) -> grpc.Channel:
        trust = grpc.ssl_channel_credentials(root_certificates=file.read_bytes())
        return grpc.secure_channel(door.address, trust)

    assert version(trusting(door.ca)).startswith("v2.3.5")
    for refused in (
        grpc.insecure_channel(door.address),
        trusting(folder / "ca" / "ca.pem"),  # the lab's own authority, not the site's
    ):
        with pytest.raises(grpc.RpcError) as caught:
            version(refused)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.soak
def test_no_secret_is_in_a_list_of_processes_a_journal_or_pulumis_state(
    folder: Path, users: dict[str, str]
) -> None:
    secrets = [*users.values(), (folder / "state" / "secrets" / "object-store").read_text()]
    places = [
        *Path("/proc").glob("[0-9]*/cmdline"),
        *folder.glob("state/pulumi/**/*.json"),
        *folder.glob("state/ansible/*/artifacts/**/stdout"),
        *folder.glob("machines/*/upper/var/log/**/*.journal"),
    ]
    assert len(places) > 20
    for place in places:
        try:
            content = place.read_bytes()
        except OSError:
            continue
        for secret in secrets:
            assert secret.encode() not in content, place


@pytest.mark.soak
def test_the_walls_let_nobody_in_but_members_and_edges(permafrost: Cli, lab: Cli) -> None:
    import socket

    machines = {m["name"]: m["address"] for m in lab.json("status")["machines"]}
    ports = (2379, 2380, 9000, 9092, 9093, 9191, 19530, 21123, 53100)
    for name, address in machines.items():
        if "-knowledge-" not in name:
            continue
        with socket.create_connection((address, 22), timeout=5):
            pass
        for port in ports:
            with socket.socket() as probe:
                probe.settimeout(3)
                assert probe.connect_ex((address, port)) != 0, (name, port)


def test_no_private_text_in_what_status_prints(permafrost: Cli, users: dict[str, str]) -> None:
    text = json.dumps(permafrost.json("status"))
    assert not any(re.search(re.escape(secret), text) for secret in users.values())
