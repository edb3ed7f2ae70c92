"""What of ours differs from the defaults of Milvus, and what is left when they are put in."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from permafrost.adapters.ansible.knowledge_variables import BROKER_TLS
from permafrost.planning.milvus_versions import V2_3
from tests.bench.milvus_defaults import (
    KERNEL,
    MARK,
    STAYS,
    by_default,
    differences,
    kernel_by_default,
    reader,
    settings_file,
    tuned,
    unit_by_default,
)
from tests.golden.ansible.rendering import ROOT

FILES = ROOT / "tests/golden/ansible/files"
SHIPPED: dict[str, Any] = {
    "etcd": {"endpoints": "localhost:2379", "rootPath": "by-dev", "kvSubPath": "kv",
             "use": {"embed": True}, "log": {"level": "info"}},
    "minio": {"address": "localhost", "port": 9000, "accessKeyID": "minioadmin",
              "secretAccessKey": "minioadmin", "useSSL": False, "rootPath": "files"},
    "mq": {"type": "rocksmq"},
    "rootCoord": {"dmlChannelNum": 16, "enableActiveStandby": False},
    "queryCoord": {"autoBalance": False, "balanceIntervalSeconds": 60, "checkInterval": 1000,
                   "enableActiveStandby": False},
    "dataCoord": {"enableActiveStandby": False},
    "queryNode": {"enableDisk": False},
    "indexNode": {"enableDisk": True},
    "common": {"gracefulStopTimeout": 1800, "storageType": "local",
               "chanNamePrefix": {"cluster": "by-dev", "search": "search"},
               "security": {"authorizationEnabled": False, "tlsMode": 0},
               "session": {"ttl": 30, "retryTimes": 30}},
    "log": {"level": "info", "stdout": True, "file": {"rootPath": ""}},
    "grpc": {"client": {"maxBackoff": 10, "initialBackOff": 0.2, "maxMaxAttempts": 10,
                        "keepAliveTime": 10000, "keepAliveTimeout": 20000}},
    "tls": {"caPemPath": "ca.pem", "serverKeyPath": "server.key", "serverPemPath": "server.pem"},
}  # fmt: skip
"""Those sections of the file that 2.3.5 ships which ours are laid over."""
TUNED = {
    "common/gracefulStopTimeout": (1800, 60),
    "common/session/ttl": (30, 5),
    "grpc/client/initialBackOff": (0.2, 0.1),
    "grpc/client/keepAliveTime": (10000, 5000),
    "grpc/client/keepAliveTimeout": (20000, 3000),
    "grpc/client/maxBackoff": (10, 1),
    "kafka/consumer/socket.connection.setup.timeout.ms": ("(not set)", 3000),
    "kafka/consumer/socket.keepalive.enable": ("(not set)", "true"),
    "kafka/consumer/socket.nagle.disable": ("(not set)", "true"),
    "kafka/consumer/socket.timeout.ms": ("(not set)", 3000),
    "kafka/consumer/topic.metadata.refresh.interval.ms": ("(not set)", 1000),
    "kafka/producer/enable.idempotence": ("(not set)", "true"),
    "kafka/producer/socket.connection.setup.timeout.ms": ("(not set)", 3000),
    "kafka/producer/socket.nagle.disable": ("(not set)", "true"),
    "kafka/producer/socket.timeout.ms": ("(not set)", 3000),
    "kafka/producer/topic.metadata.refresh.interval.ms": ("(not set)", 1000),
    "kafka/readTimeout": ("(not set)", 10),
    "proxy/shardLeaderCacheInterval": ("(not set)", 365 * 86400),
    "queryCoord/UpdateNextTargetInterval": ("(not set)", 1),
    "queryCoord/autoBalance": (False, True),
    "queryCoord/autoBalanceChannel": ("(not set)", False),
    "queryCoord/balanceIntervalSeconds": (60, 10),
    "queryCoord/checkBalanceInterval": ("(not set)", 1000),
    "queryCoord/checkChannelInterval": ("(not set)", 500),
    "queryCoord/checkInterval": (1000, 500),
    "queryCoord/checkSegmentInterval": ("(not set)", 500),
}
ETCD = "10.20.0.24:2379,10.20.0.25:2379,10.20.0.26:2379"


def laid_over(base: Any, more: Any) -> Any:
    """As Ansible combines them, recursively."""
    if not isinstance(base, dict) or not isinstance(more, dict):
        return more
    return {**base, **{k: laid_over(base.get(k), v) for k, v in more.items()}}


@pytest.fixture
def deployed() -> dict[str, Any]:
    """What the role makes of them for a member of the golden site."""
    found: dict[str, Any] = laid_over(SHIPPED, yaml.safe_load((FILES / "milvus.yaml").read_text()))
    return found


def test_all_that_we_tune_is_found_and_nothing_else(deployed: dict[str, Any]) -> None:
    assert tuned(SHIPPED, deployed) == TUNED


def test_a_setting_that_is_tuned_later_is_found_by_itself(deployed: dict[str, Any]) -> None:
    deployed["proxy"] = {"timeTickInterval": 50}
    assert tuned(SHIPPED, deployed)["proxy/timeTickInterval"] == ("(not set)", 50)


def test_each_reason_to_stay_is_of_a_setting_of_ours(deployed: dict[str, Any]) -> None:
    deployed["etcd"]["ssl"] = {"enabled": True}  # with etcd_tls
    deployed["queryNode"]["enableDisk"] = True  # a default that ours agree with
    encrypted(deployed)
    changed = differences(SHIPPED, deployed)
    for name in STAYS:
        assert any(p == name or p.startswith((f"{name}/", f"{name}.")) for p in changed), name


def encrypted(deployed: dict[str, Any]) -> None:
    """Have Milvus speak TLS to its brokers, as with ``queue_tls``."""
    for client in ("consumer", "producer"):
        deployed["kafka"][client] |= BROKER_TLS


def test_by_the_defaults_it_still_shows_brokers_its_certificate(deployed: dict[str, Any]) -> None:
    encrypted(deployed)
    assert tuned(SHIPPED, deployed) == TUNED
    found = by_default(SHIPPED, deployed, ETCD)["kafka"]
    assert found["consumer"] == found["producer"] == BROKER_TLS


def test_with_the_defaults_nothing_tuned_is_left_and_the_cluster_is_the_same(
    deployed: dict[str, Any],
) -> None:
    before = yaml.safe_dump(deployed)
    found = by_default(SHIPPED, deployed, ETCD)
    assert tuned(SHIPPED, found) == {}
    assert found["common"]["session"] == {"ttl": 30, "retryTimes": 30}
    assert found["etcd"]["endpoints"] == ETCD
    assert found["kafka"] == {
        "brokerList": "10.20.0.24:9092,10.20.0.25:9092,10.20.0.26:9092",
        "saslMechanisms": "", "saslPassword": "", "saslUsername": "", "securityProtocol": "",
    }  # fmt: skip
    assert "proxy" not in found, "proxies forget who leads after as long as Milvus has it"
    for section in ("minio", "tls", "mq", "log"):
        assert found[section] == deployed[section]
    assert found["common"]["security"] == deployed["common"]["security"]
    assert found["rootCoord"] == deployed["rootCoord"]
    assert yaml.safe_dump(deployed) == before, "what was given is left alone"


def test_the_file_is_marked_and_says_what_was_meant(deployed: dict[str, Any]) -> None:
    text = settings_file(deployed)
    assert text.splitlines()[0] == MARK
    assert yaml.safe_load(text) == deployed


def test_a_unit_keeps_all_but_our_settings_and_our_order() -> None:
    proxy, standby = ((FILES / f"milvus-{n}.container").read_text() for n in ("proxy", "standby"))
    ours = tuple({name for p in V2_3.processes for name in p.environment})
    assert gone(proxy, unit_by_default(proxy, ours)) == [
        "Environment=GRPC_CLIENT_MAXMAXATTEMPTS=12",
        "ExecStartPre=/usr/local/sbin/permafrost-knowledge-leaders wait 60",
        "ExecStopPost=-/usr/local/sbin/permafrost-knowledge-watch ended milvus-proxies",
    ]
    assert gone(standby, unit_by_default(standby, ours)) == [
        "ExecStartPre=/usr/local/sbin/permafrost-knowledge-watch wait-for-first 30",
        "ExecStopPost=-/usr/local/sbin/permafrost-knowledge-watch ended milvus-coordinators",
    ]


def gone(before: str, after: str) -> list[str]:
    assert after.splitlines()[0] == MARK
    assert set(after.splitlines()[1:]) <= set(before.splitlines())
    return [line for line in before.splitlines() if line not in after.splitlines()]


def test_every_setting_of_the_kernel_has_its_own_value_again() -> None:
    text = (FILES / "lost-peers.conf").read_text()
    found = kernel_by_default(text).splitlines()
    assert found[0] == MARK
    assert found[1:] == [f"-{name} = {value}" for name, value in KERNEL.items()]
    with pytest.raises(KeyError, match="tcp_fin_timeout"):
        kernel_by_default(text + "net.ipv4.tcp_fin_timeout = 5\n")


def test_defaults_are_read_from_the_image_of_the_unit() -> None:
    unit = (FILES / "milvus-proxy.container").read_text()
    image = f"registry.example.net/images/milvus@sha256:{'4' * 64}"
    tail = ("--entrypoint=/bin/cat", image, "/milvus/configs/milvus.yaml")
    assert reader(unit)[-3:] == tail
    assert "--cgroups=disabled" not in reader(unit)
    assert "--cgroups=disabled" in reader(f"{unit}PodmanArgs=--cgroups=disabled\n")
    with pytest.raises(ValueError, match="no image"):
        reader("[Unit]\n")
