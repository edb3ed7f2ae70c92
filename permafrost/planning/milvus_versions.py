"""What a Milvus of one version is made of, as data: its processes, their ports, its settings.

2.3.5 is what runs in the lab, 2.3.4 what it is upgraded from. 2.6 (a mix coordinator, streaming
nodes, no index nodes; Milvus' own deployment charts say so) is rendered and marked unverified:
`deploy` refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

METRICS_PORT = 9191
"""Of the first kind of process; each further kind has the next."""
STEP = 10
"""Between the ports of two processes of one kind on a member; all kinds end in other digits."""

STORES = ("etcd", "object_store", "queue")
"""Roles that are servers of their own, whichever the version of Milvus."""

DATA_FOLDER = "/var/lib/permafrost-data"
"""Where the disk that outlives everything else of a member is mounted."""

STORE_UNITS: Mapping[str, str] = {"etcd": "etcd", "object_store": "minio", "queue": "kafka"}
"""What systemd calls each store on a member."""

STORE_PORTS: Mapping[str, tuple[int, ...]] = {
    "etcd": (2379, 2380),
    "object_store": (9000,),
    "queue": (9092, 9093),
}


@dataclass(frozen=True, slots=True)
class Process:
    """One kind of process. A further one on the same member takes ports ten further on.

    ``ports`` is the name of the setting -> port. ``public`` is the setting of the clients' port.
    ``stop_s``: how long one that is told to stop may take before it is killed.
    """

    role: str
    arguments: tuple[str, ...]
    ports: Mapping[str, int]
    public: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_s: int = 20


@dataclass(frozen=True, slots=True)
class MilvusVersion:
    """The layout of one version; ``settings`` are laid over what the image brings."""

    name: str
    processes: tuple[Process, ...]
    settings: Mapping[str, Any]
    is_verified: bool
    plain: tuple[str, ...]
    """Connections between members that are neither encrypted nor authenticated by a password."""
    pins_leaders: bool = False
    """Whether its proxies keep the query nodes that they know until they are told to ask anew.

    A leader that is new is called available while it does not yet read what it has."""
    fills_replicas: bool = False
    """Whether it gives a replica that lost its last query node one of another's, by itself."""
    topics: tuple[str, ...] = ()
    """Topics of the queue that collections are written to, after the site's prefix."""
    spare: Process | None = None
    """A process of the role of queries that stands still on each member that has some. Runbooks
    start it for replicas whose nodes all leave."""

    @property
    def roles(self) -> frozenset[str]:
        """The roles that this version knows, stores included."""
        return frozenset({*STORES, *(p.role for p in self.processes)})


PLAIN_OBJECT_STORE = "to MinIO (its keys sign requests) and between its nodes"
PLAIN_ETCD = "to etcd and between its members"
PLAIN_QUEUE = "to Kafka and between its brokers"
_PLAIN_STORES = (PLAIN_ETCD, PLAIN_QUEUE, PLAIN_OBJECT_STORE)

# Every search and insert asks the coordinator of the root for a timestamp. What a proxy does not
# get it tells the client as an answer of its own, which pymilvus does not ask again: so a proxy
# asks for as long as coordinators take to change places (some 8 s of waiting, below a client's
# 15). Three times, as it was, are 0.3 s; they made a search that meets a lost query node 4 s
# faster, and failed every request during a planned change of the active coordinators.
_PROXY = {"GRPC_CLIENT_MAXMAXATTEMPTS": "12"}

GRACE_S = 60
"""How long a process of Milvus waits until others have taken what it had."""
_HANDS_OVER_S = GRACE_S + 10
"""A query node that is killed sooner takes segments with it that nobody else has loaded."""

KEPT_S = 365 * 86400
"""How long proxies of 2.3 keep the leaders that they know."""

_TO_BROKERS = {
    # A lost broker is noticed in 3 s instead of a minute.
    "socket.timeout.ms": 3000,
    "socket.connection.setup.timeout.ms": 3000,
    # Who leads now is asked each second. By default it is asked when a connection fails: a client
    # that was told the lost broker once more, as its session had not ended, tries that for 3 s.
    "topic.metadata.refresh.interval.ms": 1000,
    # An insert is several packets. Held back until the broker has acknowledged the one before,
    # the last of them waits 40 ms for an acknowledgement that the broker's kernel delays.
    "socket.nagle.disable": "true",
}
"""What librdkafka is told, by its own names."""

_CHANNELS = 4
"""Collections share these topics: each further one is a query node's consumer more."""


def _topics(channels: int) -> tuple[str, ...]:
    """Return what the root coordinator of 2.3 and of 2.6 calls its channels."""
    return tuple(f"rootcoord-dml_{number}" for number in range(channels))


_COMMON: dict[str, Any] = {
    "etcd": {"use": {"embed": False}, "log": {"level": "warn"}},
    "minio": {"useSSL": False, "cloudProvider": "aws", "rootPath": "files"},
    "mq": {"type": "kafka"},
    "kafka": {
        "saslUsername": "",
        "saslPassword": "",
        "saslMechanisms": "",
        "securityProtocol": "",
        "readTimeout": 10,
        # A broker is noticed to be lost whether or not anything is on its way to it; what is sent
        # again is written once, in its order.
        "consumer": {**_TO_BROKERS, "socket.keepalive.enable": "true"},
        "producer": {**_TO_BROKERS, "enable.idempotence": "true"},
    },
    # Everything is in memory: an index on local disks would need drives of its own.
    "queryNode": {"enableDisk": False},
    "common": {
        "storageType": "remote",
        "gracefulStopTimeout": GRACE_S,
        # How long a coordinator that is gone keeps its place: 23 s by default, 5 to 8 s so, the
        # election of a leader of etcd included. Shorter than 3 s etcd grants none.
        "session": {"ttl": 5, "retryTimes": 30},
        "security": {"authorizationEnabled": True, "tlsMode": 1, "superUsers": "root"},
    },
    "log": {"level": "warn", "stdout": True, "file": {"rootPath": ""}},
    "grpc": {
        "client": {
            "maxBackoff": 1,
            "initialBackOff": 0.1,
            "maxMaxAttempts": 10,
            "keepAliveTime": 5000,
            "keepAliveTimeout": 3000,
        }
    },
}


def _over(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``more`` laid over it, section by section."""
    found = dict(base)
    for key, value in more.items():
        old = found.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        found[key] = _over(old or {}, value) if both else value
    return found


V2_3 = MilvusVersion(
    "2.3.5",
    (
        Process(
            "coordinators",
            (
                "mixture",
                "-rootcoord=true",
                "-querycoord=true",
                "-datacoord=true",
                "-indexcoord=true",
            ),
            {"ROOTCOORD_PORT": 53100, "QUERYCOORD_PORT": 19531, "DATACOORD_PORT": 13333},
        ),
        Process("query", ("querynode",), {"QUERYNODE_PORT": 21123}, stop_s=_HANDS_OVER_S),
        Process("data", ("datanode",), {"DATANODE_PORT": 21224}),
        Process(
            "proxies",
            ("proxy",),
            {"PROXY_PORT": 19530, "PROXY_INTERNALPORT": 19529},
            public="PROXY_PORT",
            environment=_PROXY,
        ),
        # Last: so the port at which the edges judge a proxy is the one that it always was.
        Process("index", ("indexnode",), {"INDEXNODE_PORT": 21321}),
    ),
    _over(
        _COMMON,
        {
            "rootCoord": {"enableActiveStandby": True, "dmlChannelNum": _CHANNELS},
            "queryCoord": {
                "enableActiveStandby": True,
                "autoBalance": True,
                # Segments alone: leaders of two replicas that move at once leave a proxy, which
                # keeps those it knows, without one. Runbooks spread them.
                "autoBalanceChannel": False,
                "balanceIntervalSeconds": 10,
                "checkInterval": 500,
                # How often it is looked for what is to be loaded or moved. A query node that is
                # emptied gives its channels at one look and its segments at the next: by default
                # each 10 s later.
                "checkSegmentInterval": 500,
                "checkChannelInterval": 500,
                "checkBalanceInterval": 1000,
                # How often the target has a new version, with which a leader that is new reads
                # what it has: 10 s by default.
                "UpdateNextTargetInterval": 1,
            },
            # For ever: permafrost-knowledge-leaders says when. By default, after 3 s, a proxy asks
            # for leaders that are called available and answer without what they have.
            "proxy": {"shardLeaderCacheInterval": KEPT_S},
            "dataCoord": {"enableActiveStandby": True},
            "indexNode": {"enableDisk": False},
        },
    ),
    is_verified=True,
    pins_leaders=True,
    topics=_topics(_CHANNELS),
    # Its port ends in a digit of its own, too.
    spare=Process("query", ("querynode",), {"QUERYNODE_PORT": 21125}, stop_s=_HANDS_OVER_S),
    plain=("between the roles of Milvus", *_PLAIN_STORES),
)

V2_3_4 = replace(V2_3, name="2.3.4")
"""The same layout; the version before, from which an upgrade is drilled."""

V2_6 = MilvusVersion(
    "2.6",
    (
        Process("coordinators", ("mixcoord",), {"MIXCOORD_PORT": 53100}),
        Process("streaming", ("streamingnode",), {"STREAMINGNODE_PORT": 22222}),
        Process("query", ("querynode",), {"QUERYNODE_PORT": 21123}, stop_s=_HANDS_OVER_S),
        Process("data", ("datanode",), {"DATANODE_PORT": 21224}),
        Process(
            "proxies",
            ("proxy",),
            {"PROXY_PORT": 19530, "PROXY_INTERNALPORT": 19529},
            public="PROXY_PORT",
            environment=_PROXY,
        ),
    ),
    _over(_COMMON, {"mixCoord": {"enableActiveStandby": True}}),
    is_verified=False,
    topics=_topics(16),  # its own default
    plain=("between the roles of Milvus", *_PLAIN_STORES),
    fills_replicas=True,
)

VERSIONS: Mapping[str, MilvusVersion] = {v.name: v for v in (V2_3_4, V2_3, V2_6)}
