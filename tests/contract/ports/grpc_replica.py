"""A gRPC server behind a real HAProxy: it answers each message when it is let."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.contract.ports.haproxy import CONFIG, Edge, free_port


class GrpcReplica(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers what it is asked; a message with the id ``later`` waits for ``go``."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.server = grpc.server(ThreadPoolExecutor(16))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def answer(self, messages: Iterator[Any], _: object) -> Iterator[Any]:
        """Answer each message in its turn."""
        for message in messages:
            if message.id == "later":
                self.go.wait(30)
            yield service_pb2.ModelStreamInferResponse(error_message=message.id)

    ModelStreamInfer = answer

    def close(self) -> None:
        self.go.set()
        self.server.stop(None).wait(10)


@contextmanager
def running_grpc_edge(folder: Path, name: str) -> Iterator[tuple[Edge, GrpcReplica]]:
    """Run HAProxy over one gRPC server; HTTP/2 both ways, without TLS."""
    replica = GrpcReplica()
    port = free_port()
    config = CONFIG.format(folder=folder, port=port)
    config += f"backend chat_a\n    server {name} 127.0.0.1:{replica.port} no-check proto h2\n"
    (folder / "haproxy.cfg").write_text(config, encoding="utf-8")
    for empty in ("declared.cfg", "clients.map"):
        (folder / empty).touch()
    (folder / "slots.map").write_text("chat a\n", encoding="ascii")
    edge = Edge(folder, {}, port)
    edge.start()
    try:
        yield edge, replica
    finally:
        edge.stop()
        replica.close()
