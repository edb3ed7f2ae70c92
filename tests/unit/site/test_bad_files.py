"""Kinds of bad site file: each with its code and its place, and nothing else said."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from permafrost.cli.main import run
from tests.fakes.memory import tmp_path
from tests.fakes.refusing import refusal, tree
from tests.fakes.site import document, write_site

__all__ = ["tmp_path"]

Edit = Callable[[dict[str, Any]], Any]
DELETED = object()


def put(path: str, value: Any) -> Edit:
    """Return an edit that sets one key, or removes it."""

    def edit(values: dict[str, Any]) -> None:
        *above, last = path.split(".")
        for key in above:
            values = values.setdefault(key, {})
        if value is DELETED:
            del values[last]
        else:
            values[last] = value

    return edit


def racks(labels: dict[str, Any]) -> Edit:
    return all_of(put("failure_domains.level", "rack"), put("hosts", labels))


EXTERNAL_STORE = {
    "address": "s3.example.net",
    "bucket": "knowledge",
    "access_key": "permafrost",
    "secret_key_file": "secrets/vcenter",
}


def knowledge(**milvus: Any) -> Edit:
    return put("knowledge", {"milvus": milvus})


def registry(**node: Any) -> Edit:
    values = {"address": "10.64.1.110", **node}
    return all_of(
        put("registry.url", "oci://10.64.1.110:5000"),
        put("registry.ca_file", None),
        put("registry.node", values),
    )


def named_registry(values: dict[str, Any]) -> None:
    registry()(values)
    values["inference"]["registry"] = values["inference"].pop("pulse")


def all_of(*edits: Edit) -> Edit:
    return lambda values: [edit(values) for edit in edits]


def renamed(values: dict[str, Any]) -> None:
    values["inference"]["knowledge"] = values["inference"].pop("pulse")


INVALID, UNKNOWN, MISSING = "SITE_VALUE_INVALID", "SITE_KEY_UNKNOWN", "SITE_KEY_MISSING"
CHAT = "inference.chat"
CLIENTS = {
    "port_group": "clients",
    "subnet": "10.65.1.0/24",
    "gateway": "10.65.1.1",
    "addresses": "10.65.1.20-10.65.1.29",
}
WIDE = {"subnet": "10.64.0.0/16", "gateway": "10.64.9.1", "addresses": "10.64.9.20-10.64.9.29"}
THREE_RACKS = {f"h{i}": {"rack": f"r{i}"} for i in range(3)}
TWO_ROOMS = {"h8": {"rack": "x", "room": "a"}, "h9": {"rack": "x", "room": "b"}}
NO_KEY = {"authority": {"certificate_file": "secrets/ca.pem", "key_file": "secrets/no"}}

FORM: list[tuple[Edit, str, str]] = [
    (put("colour", "blue"), UNKNOWN, "colour"),
    (put("vcenter.cluster", DELETED), MISSING, "vcenter.cluster"),
    (put("inference", DELETED), MISSING, "inference"),
    (put("schema", 2), INVALID, "schema"),
    (put("site", "Lab"), INVALID, "site"),
    (put("site", "a" * 21), INVALID, "site"),
    (put("environment", "production"), INVALID, "environment"),
    (put("inference", {}), INVALID, "inference"),
    (put(f"{CHAT}.model", "chat@latest"), INVALID, f"{CHAT}.model"),
    (put(f"{CHAT}.model", "chat@production"), "LOCK_MISSING", f"{CHAT}.model"),
    (put(f"{CHAT}.image", "triton:latest"), INVALID, f"{CHAT}.image"),
    (put(f"{CHAT}.backend", "torchserve"), INVALID, f"{CHAT}.backend"),
    (put(f"{CHAT}.replicas", 0), INVALID, f"{CHAT}.replicas"),
    (put(f"{CHAT}.replicas", "3"), INVALID, f"{CHAT}.replicas"),
    (put(f"{CHAT}.replicas", True), INVALID, f"{CHAT}.replicas"),
    (put(f"{CHAT}.replicas", 2.5), INVALID, f"{CHAT}.replicas"),
    (put(f"{CHAT}.port", 70000), INVALID, f"{CHAT}.port"),
    (put(f"{CHAT}.max_concurrent", 0), INVALID, f"{CHAT}.max_concurrent"),
    (put(f"{CHAT}.gpu.mode", "slice"), INVALID, f"{CHAT}.gpu.mode"),
    (put(f"{CHAT}.gpu.vendor_device", "nvidia"), INVALID, f"{CHAT}.gpu.vendor_device"),
    (put(f"{CHAT}.gpu.count", 0), INVALID, f"{CHAT}.gpu.count"),
    (put(f"{CHAT}.vm", {"memory_mib": 1025}), INVALID, f"{CHAT}.vm.memory_mib"),
    (put(f"{CHAT}.vm", {"cpus": 0}), INVALID, f"{CHAT}.vm.cpus"),
    (put(f"{CHAT}.vm", {"disk": 40}), UNKNOWN, f"{CHAT}.vm.disk"),
    (put("vcenter.server", "https://vcenter"), INVALID, "vcenter.server"),
    (put("vcenter.datastore", ""), INVALID, "vcenter.datastore"),
    (put("vcenter.password", "secret"), UNKNOWN, "vcenter.password"),
    (put("vcenter.allow_unverified_ssl", "maybe"), INVALID, "vcenter.allow_unverified_ssl"),
    (put("vcenter.ca_file", "a\0b"), INVALID, "vcenter.ca_file"),
    (put("network.subnet", "10.64.1.1/24"), INVALID, "network.subnet"),
    (put("network.gateway", "10.64.1.300"), INVALID, "network.gateway"),
    (put("network.gateway", 3), INVALID, "network.gateway"),
    (put("network.dns", ["one.one.one.one"]), INVALID, "network.dns.0"),
    (put("network.time_servers", ["pool.ntp.org"]), INVALID, "network.time_servers.0"),
    (put("network.time_servers", "10.64.1.2"), INVALID, "network.time_servers"),
    (put("network.addresses", "10.64.1.20 to 30"), INVALID, "network.addresses"),
    (put("registry.url", "https://registry"), INVALID, "registry.url"),
    (put("registry.node", {}), MISSING, "registry.node.address"),
    (registry(address="10.64.1"), INVALID, "registry.node.address"),
    (registry(data_disk_gib=0), INVALID, "registry.node.data_disk_gib"),
    (registry(data_device="sdb"), INVALID, "registry.node.data_device"),
    (registry(nodes=2), UNKNOWN, "registry.node.nodes"),
    (registry(clients=["10.64.1.7/24"]), INVALID, "registry.node.clients.0"),
    (put("packages.url", "ftp://packages"), INVALID, "packages.url"),
    (put("edge.nodes", 0), INVALID, "edge.nodes"),
    (put("edge.vip", "10.64.1"), INVALID, "edge.vip"),
    (put("edge.tls", {"certificate_file": "a"}), MISSING, "edge.tls.key_file"),
    (put("edge.clients", {"networks": ["10.0.0.1/8"]}), INVALID, "edge.clients.networks.0"),
    (put("edge.clients", {"keys": "maybe"}), INVALID, "edge.clients.keys"),
    (put("failure_domains", {"level": "row"}), INVALID, "failure_domains.level"),
    (put("hosts", {"esx 01": {"rack": "a"}}), INVALID, "hosts.esx 01"),
    (put("hosts", {"esx-01.lab": {"shelf": "a"}}), UNKNOWN, "hosts.esx-01.lab.shelf"),
    (put("capacity", {"cpu_overcommit": 0.5}), INVALID, "capacity.cpu_overcommit"),
    (put("capacity", {"cpu_overcommit": float("nan")}), INVALID, "capacity.cpu_overcommit"),
    (knowledge(nodes=0), INVALID, "knowledge.milvus.nodes"),
    (knowledge(roles={"scribe": 1}), UNKNOWN, "knowledge.milvus.roles.scribe"),
    (put("control.pulumi_backend", "ssh://there"), INVALID, "control.pulumi_backend"),
    (put("control.secrets_provider", "rot13"), INVALID, "control.secrets_provider"),
    (put("control.pulumi_stack", "my stack"), INVALID, "control.pulumi_stack"),
]
"""Keys and single values."""

RULES: list[tuple[Edit, str, str]] = [
    (put(f"{CHAT}.min_ready", 3), "MIN_READY_TOO_HIGH", f"{CHAT}.min_ready"),
    (put(f"{CHAT}.port", 8444), "PORT_TAKEN", "inference.pulse.port"),
    (put(f"{CHAT}.port", 22), "PORT_TAKEN", f"{CHAT}.port"),
    (renamed, "ENDPOINT_NAME_RESERVED", "inference.knowledge"),
    (
        put(f"{CHAT}.gpu", {"mode": "passthrough"}),
        "GPU_WITHOUT_DEVICE",
        f"{CHAT}.gpu.vendor_device",
    ),
    (put(f"{CHAT}.gpu", {"mode": "vgpu"}), "VGPU_WITHOUT_PROFILE", f"{CHAT}.gpu.profile"),
    (put(f"{CHAT}.gpu.mode", "none"), "GPU_DEVICE_WITHOUT_MODE", f"{CHAT}.gpu.mode"),
    (put(f"{CHAT}.gpu.profile", "grid_a100-40c"), "GPU_PROFILE_WITHOUT_MODE", f"{CHAT}.gpu.mode"),
    (put(f"{CHAT}.gpu", {"count": 2}), "GPU_COUNT_WITHOUT_MODE", f"{CHAT}.gpu.mode"),
    (put(f"{CHAT}.gpu.mmio_gib", 100), "GPU_MMIO_NOT_POWER_OF_TWO", f"{CHAT}.gpu.mmio_gib"),
    (put("failure_domains", {"level": "rack"}), "HOST_LABELS_MISSING", "hosts"),
    (
        put("failure_domains.members_per_domain", 2),
        "MEMBERS_SHARE_A_HOST",
        "failure_domains.members_per_domain",
    ),
    (racks({**THREE_RACKS, "h9": {"room": "a"}}), "HOST_LABEL_MISSING", "hosts.h9.rack"),
    (racks({**THREE_RACKS, **TWO_ROOMS}), "RACK_IN_TWO_ROOMS", "hosts.h9.room"),
    (
        all_of(racks(THREE_RACKS), put(f"{CHAT}.replicas", 4)),
        "FAILURE_DOMAINS_TOO_FEW",
        f"{CHAT}.replicas",
    ),
    (
        all_of(racks(THREE_RACKS), knowledge(nodes=5)),
        "FAILURE_DOMAINS_TOO_FEW",
        "knowledge.milvus.nodes",
    ),
    (put("network.gateway", "10.65.1.1"), "GATEWAY_OUTSIDE_SUBNET", "network.gateway"),
    (put("network.gateway", "10.64.1.30"), "GATEWAY_IN_ADDRESSES", "network.addresses"),
    (
        put("network.addresses", "10.64.1.250-10.64.2.20"),
        "ADDRESSES_OUTSIDE_SUBNET",
        "network.addresses",
    ),
    (put("network.addresses", "10.64.1.20-10.64.1.22"), "ADDRESSES_TOO_FEW", "network.addresses"),
    (
        put("network.addresses", "10.64.1.99-10.64.1.20"),
        "ADDRESSES_MALFORMED",
        "network.addresses",
    ),
    (put(f"{CHAT}.addresses", "10.64.1.90-10.64.1.99"), "ADDRESSES_OVERLAP", f"{CHAT}.addresses"),
    (
        put(f"{CHAT}.addresses", "10.64.1.120-10.64.1.121"),
        "ADDRESSES_TOO_FEW",
        f"{CHAT}.addresses",
    ),
    (put(f"{CHAT}.network", "storage"), "NETWORK_UNKNOWN", f"{CHAT}.network"),
    (put("networks.clients", CLIENTS | WIDE), "SUBNETS_OVERLAP", "networks.clients.subnet"),
    (
        put("networks.clients", CLIENTS | {"port_group": "site-network"}),
        "PORT_GROUP_TAKEN",
        "networks.clients.port_group",
    ),
    (
        put("networks.clients", CLIENTS | {"gateway": "10.64.1.1"}),
        "GATEWAY_OUTSIDE_SUBNET",
        "networks.clients.gateway",
    ),
    (
        put("network.time_servers", ["10.64.1.2", "10.64.1.3", "10.64.1.2"]),
        "TIME_SERVER_TWICE",
        "network.time_servers.2",
    ),
    (
        put("network.time_servers", ["10.64.1.255"]),
        "TIME_SERVER_UNUSABLE",
        "network.time_servers.0",
    ),
    (put("network.time_servers", ["224.0.1.1"]), "TIME_SERVER_UNUSABLE", "network.time_servers.0"),
    (put("network.time_servers", ["127.0.0.1"]), "TIME_SERVER_UNUSABLE", "network.time_servers.0"),
    (put("network.time_servers", ["10.64.1.30"]), "TIME_SERVER_IS_NODE", "network.time_servers.0"),
    (
        all_of(put("edge.vip", "10.64.1.9"), put("network.time_servers", ["10.64.1.9"])),
        "TIME_SERVER_IS_NODE",
        "network.time_servers.0",
    ),
    (
        all_of(registry(), put("registry.url", "oci://10.64.1.111:5000")),
        "REGISTRY_URL_ELSEWHERE",
        "registry.url",
    ),
    (
        all_of(registry(), put("registry.url", "oci://10.64.1.110:22")),
        "PORT_TAKEN",
        "registry.url",
    ),
    (
        all_of(registry(), put("registry.ca_file", "secrets/ca.pem")),
        "REGISTRY_CA_FILE_UNUSED",
        "registry.ca_file",
    ),
    (put("registry.ca_file", None), "REGISTRY_CA_FILE_MISSING", "registry.ca_file"),
    (
        all_of(registry(), put("registry.username", "permafrost-nodes")),
        "REGISTRY_USERNAME_TAKEN",
        "registry.username",
    ),
    (named_registry, "ENDPOINT_NAME_RESERVED", "inference.registry"),
    (registry(network="storage"), "NETWORK_UNKNOWN", "registry.node.network"),
    (
        all_of(registry(address="10.64.1.30"), put("registry.url", "oci://registry.lab")),
        "ADDRESSES_OVERLAP",
        "registry.node.address",
    ),
    (
        all_of(registry(address="10.66.1.30"), put("registry.url", "oci://registry.lab")),
        "ADDRESSES_OUTSIDE_SUBNET",
        "registry.node.address",
    ),
    (
        all_of(registry(), put("edge.vip", "10.64.1.110")),
        "EDGE_VIP_TAKEN",
        "edge.vip",
    ),
    (put("edge.nodes", 2), "EDGE_VIP_MISSING", "edge.vip"),
    (put("edge.vip", "10.65.1.1"), "EDGE_VIP_OUTSIDE_SUBNET", "edge.vip"),
    (put("edge.vip", "10.64.1.1"), "EDGE_VIP_TAKEN", "edge.vip"),
    (put("edge.vip", "10.64.1.30"), "EDGE_VIP_TAKEN", "edge.vip"),
    (knowledge(roles={"etcd": 2}), "ETCD_NOT_ODD", "knowledge.milvus.roles.etcd"),
    (knowledge(roles={"queue": 2}), "MILVUS_QUORUM_OF_TWO", "knowledge.milvus.roles.queue"),
    (
        knowledge(roles={"object_store": 2}),
        "MILVUS_QUORUM_OF_TWO",
        "knowledge.milvus.roles.object_store",
    ),
    (
        knowledge(roles={"object_store": 0}),
        "OBJECT_STORE_MISSING",
        "knowledge.milvus.roles.object_store",
    ),
    (
        knowledge(roles={"object_store": 3}, object_store=EXTERNAL_STORE),
        "OBJECT_STORE_TWICE",
        "knowledge.milvus.roles.object_store",
    ),
    (
        knowledge(object_store={**EXTERNAL_STORE, "secret_key_file": "secrets/nothing"}),
        "FILE_UNREADABLE",
        "knowledge.milvus.object_store.secret_key_file",
    ),
    (
        knowledge(object_store={**EXTERNAL_STORE, "ca_file": "secrets/nothing"}),
        "FILE_UNREADABLE",
        "knowledge.milvus.object_store.ca_file",
    ),
    (knowledge(roles={"index": 0}), "MILVUS_ROLE_MISSING", "knowledge.milvus.roles.index"),
    (knowledge(version="2.6"), "MILVUS_ROLE_MISSING", "knowledge.milvus.roles.streaming"),
    (knowledge(port=8444), "PORT_TAKEN", "inference.pulse.port"),
    (
        knowledge(
            access={"users": {"app": {"password_file": "secrets/vcenter", "roles": ["none"]}}}
        ),
        "MILVUS_ROLE_UNKNOWN",
        "knowledge.milvus.access.users.app.roles",
    ),
    (
        knowledge(access={"users": {"root": {"password_file": "secrets/vcenter"}}}),
        "MILVUS_USER_RESERVED",
        "knowledge.milvus.access.users.root",
    ),
    (knowledge(roles={"etcd": 5}), "MILVUS_ROLE_CROWDED", "knowledge.milvus.roles.etcd"),
    (
        put("control.passphrase_file", DELETED),
        "PASSPHRASE_FILE_MISSING",
        "control.passphrase_file",
    ),
    (
        put("control.secrets_provider", "awskms://key"),
        "PASSPHRASE_FILE_UNUSED",
        "control.passphrase_file",
    ),
    (put("vcenter.ca_file", "secrets/nothing"), "FILE_UNREADABLE", "vcenter.ca_file"),
    (put("packages.key_file", "secrets"), "FILE_UNREADABLE", "packages.key_file"),
    (put("control.state_dir", "~nobody-here/state"), "PATH_MALFORMED", "control.state_dir"),
    (
        put("control.pulumi_backend", "file://~nobody-here/pulumi"),
        "PATH_MALFORMED",
        "control.pulumi_backend",
    ),
    (put("tls", NO_KEY), "FILE_UNREADABLE", "tls.authority.key_file"),
]
"""Rules of several keys, and of files."""

CASES = [*FORM, *RULES]


def test_there_are_sixty_kinds() -> None:
    assert len({(code, path) for _, code, path in CASES}) >= 60


@pytest.mark.parametrize(("edit", "code", "path"), CASES, ids=[f"{c}-{p}" for _, c, p in CASES])
def test_a_kind_of_bad_file(tmp_path: Path, edit: Edit, code: str, path: str) -> None:
    values = document()
    edit(values)
    found = refusal(write_site(tmp_path, values))
    assert [(p.code, p.path) for p in found] == [(code, path)]
    assert found[0].hint, "what to do"


def test_the_file_before_it_was_spoilt_is_good(tmp_path: Path) -> None:
    assert refusal(write_site(tmp_path)) == ()


@pytest.mark.parametrize("command", ["validate", "plan", "deploy --yes", "destroy --yes", "env"])
def test_no_command_touches_anything(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = document()
    values["colour"] = "blue"
    del values["vcenter"]["cluster"]
    path = write_site(tmp_path, values)
    before = tree(tmp_path)
    assert run([*command.split(), "--site", str(path), "--output", "json"]) == 3
    seen = capsys.readouterr()
    assert seen.out == ""
    assert [(e["code"], e["path"]) for e in json.loads(seen.err)] == [
        (MISSING, "vcenter.cluster"),
        (UNKNOWN, "colour"),
    ]
    assert tree(tmp_path) == before


def laughs() -> str:
    """A few lines that would be a million values, were aliases copied."""
    names = "abcdefghijklmnopqrstuvwxyz"
    lines = ["a: &a [x, x]"]
    for before, name in pairwise(names):
        lines.append(f"{name}: &{name} [*{before}, *{before}, *{before}]")
    return "\n".join(lines)


TEXTS = {
    "cut": "a: [1",
    "words": "just words",
    "empty": "",
    "list": "- a\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "a date of no calendar": "a: 2001-99-99\n",
    "a number of nothing": "!!int\n",
    "an unknown tag": "a: !vault x\n",
    "python": "a: !!python/object/apply:os.system [id]\n",
    "deep": "a: " + "[" * 50_000,
    "deep, in lines": "".join(" " * i + "a:\n" for i in range(2000)),
    "within itself": "inference: &x\n  chat: *x\nhosts: &y {a: *y}\n",
    "tab": "a:\n\t- b\n",
    "laughs": laughs(),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_texts_that_are_no_site(tmp_path: Path, kind: str) -> None:
    path = write_site(tmp_path)
    path.write_text(TEXTS[kind], encoding="utf-8")
    found = refusal(path)
    assert 1 <= len(found) < 100
    assert all(len(str(p)) < 2000 for p in found)


def test_bytes_that_are_no_text_and_files_without_end(tmp_path: Path) -> None:
    path = write_site(tmp_path)
    path.write_bytes(b"site: \xff\xfe\n")
    assert refusal(path)[0].code == "SITE_FILE_UNREADABLE"
    assert refusal(tmp_path / "a\0b")[0].code == "SITE_FILE_UNREADABLE"
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "larger than" in refusal(path)[0].message
