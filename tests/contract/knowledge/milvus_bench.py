"""Roles of Milvus 2.3 on the loopback, as permafrost-knowledge-leaders calls them.

A real gRPC server; messages are those of google.protobuf, by the numbers that milvus.proto has.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

INT, TEXT, NUMBER = (
    descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
)
QUERY_NODE = "/milvus.proto.query.QueryNode/GetDataDistribution"
QUERY_COORDINATOR = "/milvus.proto.query.QueryCoord/GetShardLeaders"
PROXY = "/milvus.proto.proxy.Proxy/InvalidateCollectionMetaCache"
QUERY = "/milvus.proto.milvus.MilvusService/Query"
MESSAGES: dict[str, dict[str, tuple[int, Any, bool]]] = {
    "MsgBase": {"msg_type": (1, NUMBER, False), "targetID": (5, INT, False)},
    "Status": {"error_code": (1, NUMBER, False), "reason": (2, TEXT, False),
               "code": (3, NUMBER, False)},
    "GetDataDistributionRequest": {"base": (1, "MsgBase", False)},
    "Segment": {"ID": (1, INT, False), "collection": (2, INT, False),
                "partition": (3, INT, False), "channel": (4, TEXT, False),
                "version": (5, INT, False)},
    "Channel": {"channel": (1, TEXT, False), "collection": (2, INT, False),
                "version": (3, INT, False)},
    "Place": {"NodeID": (1, INT, False), "version": (2, INT, False)},
    "Entry": {"key": (1, INT, False), "value": (2, "Place", False)},
    "LeaderView": {"collection": (1, INT, False), "channel": (2, TEXT, False),
                   "segment_dist": (3, "Entry", True), "growing_segmentIDs": (4, INT, True),
                   "TargetVersion": (6, INT, False)},
    "GetDataDistributionResponse": {"status": (1, "Status", False), "nodeID": (2, INT, False),
                                    "segments": (3, "Segment", True),
                                    "channels": (4, "Channel", True),
                                    "leader_views": (5, "LeaderView", True)},
    "GetShardLeadersRequest": {"base": (1, "MsgBase", False), "collectionID": (2, INT, False)},
    "ShardLeaders": {"channel_name": (1, TEXT, False), "node_ids": (2, INT, True),
                     "node_addrs": (3, TEXT, True)},
    "GetShardLeadersResponse": {"status": (1, "Status", False),
                                "shards": (2, "ShardLeaders", True)},
    "InvalidateCollMetaCacheRequest": {"base": (1, "MsgBase", False), "db_name": (2, TEXT, False),
                                       "collection_name": (3, TEXT, False),
                                       "collectionID": (4, INT, False)},
    "QueryRequest": {"base": (1, "MsgBase", False), "db_name": (2, TEXT, False),
                     "collection_name": (3, TEXT, False), "expr": (4, TEXT, False),
                     "output_fields": (5, TEXT, True), "guarantee_timestamp": (8, INT, False)},
    "QueryResults": {"status": (1, "Status", False)},
}  # fmt: skip
"""Message -> field -> its number, its type, and whether it is repeated."""


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="bench.proto", package="bench", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, is_repeated) in fields.items():
            found = message.field.add(name=field, number=number, label=3 if is_repeated else 1)
            if isinstance(kind, str):
                found.type, found.type_name = found.TYPE_MESSAGE, f".bench.{kind}"
            else:
                found.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bench.{name}"))
        for name in MESSAGES
    }


CLASSES = _classes()


def message(kind: str, **values: Any) -> Any:
    """Return a message of a kind."""
    return CLASSES[kind](**values)


def distribution(
    node: int, views: dict[tuple[int, str], int], segments: int = 0, channels: int = 0
) -> Any:
    """Return what a query node says of itself; ``views``: (collection, channel) -> version."""
    return message(
        "GetDataDistributionResponse",
        status=message("Status"),
        nodeID=node,
        segments=[
            message("Segment", ID=4 * 10**17 + n, collection=100, channel="bergen-dml_0_100v0")
            for n in range(segments)
        ],
        channels=[message("Channel", channel=f"c{n}", collection=100) for n in range(channels)],
        leader_views=[
            message(
                "LeaderView", collection=collection, channel=channel, TargetVersion=version,
                growing_segmentIDs=[7, 2**40],
                segment_dist=[message("Entry", key=5, value=message("Place", NodeID=node))],
            )
            for (collection, channel), version in views.items()
        ],
    )  # fmt: skip


def leaders(shards: dict[str, list[int]]) -> Any:
    """Return what the query coordinator says of who leads; ``shards``: channel -> nodes."""
    return message(
        "GetShardLeadersResponse",
        status=message("Status"),
        shards=[
            message("ShardLeaders", channel_name=c, node_ids=n, node_addrs=["10.20.0.24:21123"])
            for c, n in shards.items()
        ],
    )


def refused(reason: str, *, error_code: int = 0, code: int = 0) -> Any:
    """Return a status that is a refusal: by the number of 2.2, of 2.3, or both."""
    return message("Status", error_code=error_code, reason=reason, code=code)


Answer = Callable[[bytes, Any], Any]


class Role(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A role of Milvus: answers each call as it is told to, and keeps what was asked."""

    def __init__(self, pair: tuple[bytes, bytes] | None = None) -> None:
        """``pair``: the key and the certificate of one that answers by TLS alone."""
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, bytes]] = []
        self.threads = ThreadPoolExecutor(4)
        self.server = grpc.server(self.threads, handlers=[self])
        if pair is None:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        else:
            shown = grpc.ssl_server_credentials([pair])
            self.port = self.server.add_secure_port("127.0.0.1:0", shown)
        self.server.start()

    @property
    def where(self) -> str:
        return f"127.0.0.1:{self.port}"

    def service(self, details: Any) -> Any:
        """Serve one call; those that nobody told about are unknown."""
        if details.method not in self.answers:
            return None

        def answer(asked: bytes, context: Any) -> bytes:
            self.asked.append((details.method, asked))
            found = self.answers[details.method](asked, context)
            return bytes(found.SerializeToString())

        return grpc.unary_unary_rpc_method_handler(answer)

    def says(self, method: str, answer: Any) -> None:
        """Answer a call with one message, whatever is asked."""
        self.answers[method] = lambda *_: answer

    def stop(self) -> None:
        self.server.stop(None).wait()
        self.threads.shutdown()


class QueryNode(Role):
    """A query node of a number that has views, segments and channels; others it refuses."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.segments, self.channels = number, 0, 0
        self.views: dict[tuple[int, str], int] = {}
        self.answers[QUERY_NODE] = self._say

    def _say(self, asked: bytes, _: Any) -> Any:
        request = CLASSES["GetDataDistributionRequest"].FromString(asked)
        if request.base.targetID != self.number:
            status = refused("target node id not match", error_code=29, code=8)
            return message("GetDataDistributionResponse", status=status)
        return distribution(self.number, self.views, self.segments, self.channels)
