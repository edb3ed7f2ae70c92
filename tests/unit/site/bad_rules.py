"""Broken rules of several keys, and of files: how each is made, its code, and its place."""

from __future__ import annotations

from tests.unit.site.edits import (
    CHAT,
    DELETED,
    EXTERNAL_STORE,
    Edit,
    all_of,
    knowledge,
    named_registry,
    put,
    racks,
    registry,
    renamed,
)

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

RULES: list[tuple[Edit, str, str]] = [
    (put(f"{CHAT}.min_ready", 3), "MIN_READY_TOO_HIGH", f"{CHAT}.min_ready"),
    (put(f"{CHAT}.port", 8444), "PORT_TAKEN", "inference.pulse.port"),
    (put(f"{CHAT}.port", 22), "PORT_TAKEN", f"{CHAT}.port"),
    (put("packages.suite", "bookworm"), "PACKAGES_SUITE_TOO_OLD", "packages.suite"),
    (put("packages.suite", "bookworm-backports"), "PACKAGES_SUITE_TOO_OLD", "packages.suite"),
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
        knowledge(object_store_tls=True, object_store=EXTERNAL_STORE),
        "OBJECT_STORE_TLS_UNUSED",
        "knowledge.milvus.object_store_tls",
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
