"""The bench's clients at a real gRPC server: as many connections as there are clients."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc

from tests.bench.knowledge import OWN
from tests.knowledge.driver import Door

CLIENTS = 4


class Proxy(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]
    """As much of Milvus as a client asks for when it connects."""

    def __init__(self) -> None:
        self.peers: list[str] = []

    def Connect(self, _: Any, context: Any) -> Any:  # noqa: N802
        self.peers.append(context.peer())
        return milvus_pb2.ConnectResponse(status=common_pb2.Status(), identifier=1)

    def GetVersion(self, _: Any, context: Any) -> Any:  # noqa: N802
        return milvus_pb2.GetVersionResponse(status=common_pb2.Status(), version="v2.3.5")


@pytest.fixture
def served() -> Iterator[tuple[Proxy, int]]:
    server, proxy = grpc.server(futures.ThreadPoolExecutor(CLIENTS)), Proxy()
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(proxy, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield proxy, port
    server.stop(0)


@pytest.mark.parametrize(
    ("more", "connections"),
    [(OWN, CLIENTS), ({"dedicated": True}, 1), ({}, 1)],
    ids=["the bench", "control: no pool of its own", "control: pymilvus as it is"],
)
def test_each_client_of_the_bench_has_a_connection_of_its_own(
    served: tuple[Proxy, int], more: dict[str, Any], connections: int
) -> None:
    proxy, port = served
    plain = {"uri": f"http://127.0.0.1:{port}", "server_pem_path": ""}
    door = Door(f"127.0.0.1:{port}", Path("/dev/null"))
    clients = [door.client("root", "any", **plain, **more) for _ in range(CLIENTS)]
    try:
        assert len(set(proxy.peers)) == connections
    finally:
        for client in clients:
            client.close()
