"""What each machine is told, word for word. ``PERMAFROST_GOLDEN=write`` accepts a change."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.golden.ansible.rendering import TEMPLATES, render, variables

FILES = Path(__file__).parent / "files"

TIMED = {
    f"{role}_time_servers": ["10.20.0.2", "10.20.0.3", "10.20.0.4"]
    for role in ("base", "walls", "knowledge_walls")
}

CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("edge-haproxy.cfg", "haproxy/edge.cfg.j2", "oslo-edge-01", {}),
    ("node-haproxy.cfg", "haproxy/node.cfg.j2", "oslo-chat-02", {}),
    ("declared.service.conf", "haproxy/declared.service.conf.j2", "oslo-edge-01", {}),
    (
        "keepalived.conf",
        "keepalived/keepalived.conf.j2",
        "oslo-edge-02",
        {"keepalived_interface": "ens192"},
    ),
    ("keepalived.service.conf", "keepalived/keepalived.service.conf.j2", "oslo-edge-02", {}),
    ("vip-haproxy.service.conf", "keepalived/haproxy.service.conf.j2", "oslo-edge-02", {}),
    ("vip-sysctl.conf", "keepalived/sysctl.conf.j2", "oslo-edge-02", {}),
    ("permafrost-vip", "keepalived/permafrost-vip.j2", "oslo-edge-02", {}),
    ("haproxy.service.conf", "haproxy/haproxy.service.conf.j2", "oslo-edge-01", {}),
    ("triton-a.container", "quadlet/triton.container.j2", "oslo-chat-02", {"slot": 0}),
    ("triton-b.container", "quadlet/triton.container.j2", "oslo-chat-02", {"slot": 1}),
    ("triton-a-no-gpu.container", "quadlet/triton.container.j2", "oslo-pulse-01", {"slot": 0}),
    *(
        (
            f"{name}.config.pbtxt",
            f"triton/{folder}config.pbtxt.j2",
            "oslo-chat-02",
            {"triton_checkpoint": "sha256:" + "1" * 64},
        )
        for name, folder in (
            ("llamacpp", ""),
            ("vllm", "vllm/"),
            ("tensorrtllm", "tensorrtllm/"),
            ("onnxruntime", "onnxruntime/"),
        )
    ),
    ("vllm.model.json", "triton/vllm/model.json.j2", "oslo-chat-02", {"triton_gpus": 2}),
    ("slots.tmpfiles", "quadlet/slots.tmpfiles.j2", "oslo-chat-02", {}),
    ("node.json", "permafrost_node/node.json.j2", "oslo-chat-02", {}),
    (
        "node-signed.json",
        "permafrost_node/node.json.j2",
        "oslo-chat-02",
        {
            "permafrost_node_baselines_signed": True,
            "permafrost_node_baseline_signers": {"release": "(public key)\n"},
        },
    ),
    (
        "permafrost-node.service",
        "permafrost_node/permafrost-node.service.j2",
        "oslo-chat-02",
        {},
    ),
    (
        "permafrost-node-scrub.service",
        "permafrost_node/permafrost-node-scrub.service.j2",
        "oslo-chat-02",
        {},
    ),
    (
        "permafrost-node-scrub.timer",
        "permafrost_node/permafrost-node-scrub.timer.j2",
        "oslo-chat-02",
        {},
    ),
    *(
        (unit, f"permafrost_node/{unit}.j2", "oslo-chat-02", {})
        for unit in ("permafrost-triton-restart@.path", "permafrost-triton-restart@.service")
    ),
    ("permafrost-node", "permafrost_node/permafrost-node.j2", "oslo-chat-02", {}),
    ("auth.json", "container_runtime/auth.json.j2", "oslo-chat-02", {}),
    ("registries.conf", "container_runtime/registries.conf.j2", "oslo-chat-02", {}),
    ("containers.conf", "container_runtime/containers.conf.j2", "oslo-chat-02", {}),
    ("permafrost.sources", "base/permafrost.sources.j2", "oslo-chat-02", {}),
    ("journald.conf", "base/journald.conf.j2", "oslo-chat-02", {}),
    ("system.conf", "base/system.conf.j2", "oslo-chat-02", {}),
    ("chrony.conf", "base/chrony.conf.j2", "oslo-chat-02", TIMED),
    *(
        (
            f"chrony-{kind}.{name}",
            f"base/chrony.{name}.j2",
            "oslo-chat-02",
            {"__base_container": {"rc": status}},
        )
        for kind, status in (("vm", 1), ("container", 0))
        for name in ("default", "service.conf")
    ),
    ("coredump.conf", "base/coredump.conf.j2", "oslo-chat-02", {}),
    ("knowledge-edge-haproxy.cfg", "haproxy/edge.cfg.j2", "bergen-edge-01", {}),
    ("stores.cfg", "haproxy/stores.cfg.j2", "bergen-knowledge-02", {}),
    ("nftables.conf", "knowledge_walls/nftables.conf.j2", "bergen-knowledge-01", {}),
    ("nftables-no-proxy.conf", "knowledge_walls/nftables.conf.j2", "bergen-knowledge-03", {}),
    ("data.mount", "data_disk/data.mount.j2", "bergen-knowledge-01", {}),
    ("etcd.yml", "etcd/etcd.yml.j2", "bergen-knowledge-02", {"__etcd_state": "new"}),
    (
        "etcd-joined.yml",
        "etcd/etcd.yml.j2",
        "bergen-knowledge-02",
        {"__etcd_state": "existing"},
    ),
    ("etcd-tls.yml", "etcd/etcd.yml.j2", "narvik-knowledge-02", {"__etcd_state": "new"}),
    ("etcd.container", "quadlet/etcd.container.j2", "bergen-knowledge-02", {}),
    ("kafka.properties", "kafka/server.properties.j2", "bergen-knowledge-02", {}),
    ("kafka.container", "quadlet/kafka.container.j2", "bergen-knowledge-02", {}),
    ("minio.env", "minio/config.env.j2", "bergen-knowledge-01", {}),
    ("minio.container", "quadlet/minio.container.j2", "bergen-knowledge-01", {}),
    ("kafka-tls.properties", "kafka/server.properties.j2", "hamar-knowledge-02", {}),
    ("minio-tls.env", "minio/config.env.j2", "hamar-knowledge-01", {}),
    ("minio-tls.container", "quadlet/minio.container.j2", "hamar-knowledge-01", {}),
    ("stores-tls.cfg", "haproxy/stores.cfg.j2", "hamar-knowledge-02", {}),
    ("knowledge-tls.json", "knowledge_state/knowledge.json.j2", "hamar-knowledge-01", {}),
    (
        "knowledge-watch-tls.json",
        "knowledge_watch/knowledge-watch.json.j2",
        "hamar-knowledge-02",
        {},
    ),
    (
        "milvus-tls.yaml",
        "milvus/milvus.yaml.j2",
        "hamar-knowledge-01",
        {"__milvus_defaults_of_image": {}},
    ),
    ("milvus-tls.container", "quadlet/milvus.container.j2", "hamar-knowledge-02", {"unit": 1}),
    (
        "milvus.yaml",
        "milvus/milvus.yaml.j2",
        "bergen-knowledge-01",
        {"__milvus_defaults_of_image": {"etcd": {"rootPath": "by-dev", "kvSubPath": "kv"}}},
    ),
    ("milvus-proxy.container", "quadlet/milvus.container.j2", "bergen-knowledge-01", {"unit": -2}),
    (
        "milvus-standby.container",
        "quadlet/milvus.container.j2",
        "bergen-knowledge-02",
        {"unit": 0},
    ),
    (
        "milvus-external-store.yaml",
        "milvus/milvus.yaml.j2",
        "narvik-knowledge-02",
        {"__milvus_defaults_of_image": {}},
    ),
    (
        "milvus-external-store.container",
        "quadlet/milvus.container.j2",
        "narvik-knowledge-02",
        {"unit": 1},
    ),
    ("stores-external-store.cfg", "haproxy/stores.cfg.j2", "narvik-knowledge-02", {}),
    (
        "knowledge-external-store.json",
        "knowledge_state/knowledge.json.j2",
        "narvik-knowledge-02",
        {},
    ),
    ("milvus-query.container", "quadlet/milvus.container.j2", "bergen-knowledge-02", {"unit": 1}),
    ("milvus-spare.container", "quadlet/milvus.container.j2", "bergen-knowledge-02", {"unit": -1}),
    (
        "knowledge-watch.json",
        "knowledge_watch/knowledge-watch.json.j2",
        "bergen-knowledge-02",
        {},
    ),
    (
        "knowledge-watch.service",
        "knowledge_watch/permafrost-knowledge-watch.service.j2",
        "bergen-knowledge-02",
        {},
    ),
    *(
        (
            f"knowledge-leaders{name}.json",
            "knowledge_leaders/knowledge-leaders.json.j2",
            node,
            {},
        )
        for name, node in (
            ("", "bergen-knowledge-01"),
            ("-no-proxy", "bergen-knowledge-03"),
            ("-tls", "hamar-knowledge-02"),
        )
    ),
    (
        "knowledge-leaders.service",
        "knowledge_leaders/permafrost-knowledge-leaders.service.j2",
        "bergen-knowledge-01",
        {},
    ),
    (
        "knowledge-spread.service",
        "knowledge_leaders/permafrost-knowledge-spread.service.j2",
        "bergen-knowledge-02",
        {},
    ),
    ("lost-peers.conf", "lost_peers/sysctl.conf.j2", "bergen-knowledge-02", {}),
    ("kept-ports.conf", "knowledge_walls/sysctl.conf.j2", "bergen-knowledge-02", {}),
    ("knowledge.json", "knowledge_state/knowledge.json.j2", "bergen-knowledge-01", {}),
    ("sysctl.conf", "base/sysctl.conf.j2", "oslo-chat-02", {}),
    ("nftables-node.conf", "walls/nftables.conf.j2", "oslo-chat-02", {}),
    ("nftables-timed.conf", "walls/nftables.conf.j2", "oslo-chat-02", TIMED),
    (
        "nftables-knowledge-timed.conf",
        "knowledge_walls/nftables.conf.j2",
        "bergen-knowledge-01",
        TIMED,
    ),
    ("nftables-edge.conf", "walls/nftables.conf.j2", "oslo-edge-01", {}),
    ("nftables-registry.conf", "walls/nftables.conf.j2", "tromso-registry-01", {}),
    ("registry-haproxy.cfg", "haproxy/registry.cfg.j2", "tromso-registry-01", {}),
    ("registry.yml", "registry/config.yml.j2", "tromso-registry-01", {}),
    (
        "docker-registry.service.conf",
        "registry/docker-registry.service.conf.j2",
        "tromso-registry-01",
        {},
    ),
    ("registry-data.mount", "data_disk/data.mount.j2", "tromso-registry-01", {}),
    # Of a node that pulls from it: a user of its own, who may only read.
    ("registry-auth.json", "container_runtime/auth.json.j2", "tromso-chat-02", {}),
    ("registry-node.json", "permafrost_node/node.json.j2", "tromso-chat-02", {}),
]


def _compare(name: str, text: str) -> None:
    golden = FILES / name
    if os.environ.get("PERMAFROST_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize(("name", "template", "node", "more"), CASES, ids=[c[0] for c in CASES])
def test_a_machine_is_told(name: str, template: str, node: str, more: dict[str, Any]) -> None:
    if "slot" in more:
        more = {"slot": variables(node).plain["triton_slots"][more["slot"]]}
    if "unit" in more:
        more = {"unit": variables(node).plain["milvus_units"][more["unit"]]}
    _compare(name, render(template, node, **more))


@pytest.mark.parametrize(
    "node",
    [
        "oslo-edge-01",
        "oslo-chat-02",
        "oslo-pulse-01",
        "bergen-knowledge-01",
        "tromso-registry-01",
    ],
)
def test_the_variables_of_a_node(node: str) -> None:
    plain = variables(node).plain
    _compare(f"variables-{node}.json", json.dumps(plain, indent=1, sort_keys=True) + "\n")


def test_what_a_registrys_users_send_is_known_by_its_digest_alone() -> None:
    secret = variables("tromso-registry-01").secret
    # As a shell says it, for the second: printf 'Basic %s' "$(printf %s USER:PASSWORD | base64)" |
    # sha256sum
    assert secret["registry_haproxy_users"] == (
        "00B74FB668350CAD6971E82BF70198EB8E6D8544E46443431A737B06C2622A96 writer\n"
        "2D3DD7CB19BC0C752D276737A300F4D21FA56101265C6F0C81671396947AE0E1 reader\n"
    )


def test_every_template_of_the_roles_has_a_golden_file() -> None:
    rendered = {template for _, template, _, _ in CASES}
    folders = ("base", "container_runtime", "haproxy", "keepalived", "permafrost_node", "quadlet",
               "registry", "walls")  # fmt: skip
    landing = {
        str(file.relative_to(TEMPLATES)) for folder in folders for file in
        (TEMPLATES / folder).glob("*.j2")
    }  # fmt: skip
    # Shared text that is part of both configurations, and programs that the unit tests run.
    assert landing - rendered == {
        "base/finish-packages.py.j2",
        "haproxy/defaults.cfg.j2",
        "haproxy/edge_knowledge.cfg.j2",
        "haproxy/permafrost-haproxy.py.j2",
    }


@pytest.mark.parametrize("node", ["oslo-edge-01", "oslo-chat-02", "bergen-knowledge-01"])
def test_secrets_are_kept_apart(node: str) -> None:
    found = variables(node)
    plain = json.dumps(found.plain)
    assert found.secret
    for name, secret in found.secret.items():
        assert secret not in plain
        assert secret not in repr(found), name
