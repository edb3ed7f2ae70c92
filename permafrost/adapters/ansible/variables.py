"""The roles' variables, computed from the site file: the contract with ``meta/argument_specs``.

Pure. Values that must not be seen are a mapping of their own (``Variables.secret``), so that
files, fingerprints and messages treat them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from permafrost import topology
from permafrost.adapters.ansible import knowledge_variables as knowledge
from permafrost.adapters.ansible import registry_variables as registry
from permafrost.adapters.ansible.edge_variables import buffer_bytes, edge_variables
from permafrost.adapters.ansible.images import image_reference
from permafrost.planning import walls
from permafrost.planning.knowledge import milvus_of
from permafrost.planning.release import Release, release_of
from permafrost.site.model import Endpoint, GpuMode, Site
from permafrost.site.pins import checkpoint_repository, digest_of
from permafrost.topology import Node, Tier

LOOPBACK = IPv4Address("127.0.0.1")
SLOT_PORTS = {"a": (8000, 8001, 8002), "b": (8010, 8011, 8012)}


@dataclass(frozen=True, slots=True)
class PublicMaterial:
    """Texts that the node must know and everybody may see."""

    package_key: str
    registry_ca: str
    site_ca: str
    object_store_ca: str = ""
    """The only authority that is trusted for an external object store; empty: the public ones."""
    baseline_signers: Mapping[str, str] | None = None
    """Name → PEM of who may sign fingerprints; None where the site demands no signature."""


@dataclass(frozen=True, slots=True)
class SecretMaterial:
    """Texts of one node that nobody else may see. They never show in a repr."""

    registry_password: str = field(repr=False)
    certificate_pem: str = field(repr=False)
    key_pem: str = field(repr=False)
    object_store_password: str = field(default="", repr=False)
    registry_reader_password: str = field(default="", repr=False)
    registry_upload_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Variables:
    """Host variables of one node, the secret ones apart."""

    plain: dict[str, Any]
    secret: dict[str, str] = field(repr=False)


def server_names(site: Site, node: Node) -> tuple[tuple[str, ...], tuple[IPv4Address, ...]]:
    """Return the names and addresses that a node's certificate must carry beside its own name."""
    names = (
        tuple(f"{endpoint}.{site.site}.permafrost.internal" for endpoint in sorted(site.inference))
        if node.tier is Tier.EDGE
        else ()
    )
    if node.tier is Tier.EDGE and site.knowledge is not None:
        names += (f"knowledge.{site.site}.permafrost.internal",)
    if node.tier is Tier.REGISTRY and site.registry.host_address is None:
        names += (site.registry.host,)
    vip = site.edge.vip
    if node.tier is Tier.EDGE and vip is not None:
        return names, (node.address, vip)
    if encrypts_inside(site, node):
        return names, (node.address, LOOPBACK)
    return names, (node.address,)


def encrypts_inside(site: Site, node: Node) -> bool:
    """Return whether a node shows its certificate to stores of the knowledge tier, and theirs are
    shown to it through its own balancer, on the loopback."""
    if node.tier is not Tier.KNOWLEDGE:
        return False
    milvus = milvus_of(site)
    return milvus.etcd_tls or milvus.object_store_tls or milvus.queue_tls


def host_variables(
    site: Site,
    node: Node,
    public: PublicMaterial,
    secret: SecretMaterial,
    releases: Mapping[str, Release] | None = None,
) -> Variables:
    """Return everything that the playbook of the node's tier is told.

    ``releases``: what each endpoint's slots hold; without one, slot a has what the site pins.
    """
    held = {
        name: (releases or {}).get(name) or release_of(name, digest_of(endpoint.model), None)
        for name, endpoint in site.inference.items()
    }
    plain = {**_base(site, node, public), **_tls(public, secret), **_walls(site, node)}
    hidden = {"haproxy_key": secret.key_pem}
    match node.tier:
        case Tier.EDGE:
            plain |= edge_variables(site, node, held)
            plain |= knowledge.edge_variables(site)
        case Tier.KNOWLEDGE:
            plain |= _runtime(site, public)
            plain |= knowledge.member_variables(site, node)
            is_encrypted = milvus_of(site).object_store_tls
            plain["milvus_object_store_ca"] = (
                public.site_ca if is_encrypted else public.object_store_ca
            )
            hidden |= {
                "container_runtime_registry_password": secret.registry_password,
                "milvus_object_store_password": secret.object_store_password,
            }
            if "minio_image" in plain:
                hidden["minio_password"] = secret.object_store_password
        case Tier.INFERENCE:
            plain |= _inference(site, node, public, held[node.endpoint])
            hidden |= {
                "container_runtime_registry_password": secret.registry_password,
                "permafrost_node_registry_password": secret.registry_password,
            }
        case Tier.REGISTRY:
            plain |= registry.vm_variables(site, node)
            hidden |= {
                "registry_upload_secret": secret.registry_upload_secret,
                "registry_haproxy_users": registry.users_map(
                    site, secret.registry_password, secret.registry_reader_password
                ),
            }
    return Variables(plain, hidden)


def _base(site: Site, node: Node, public: PublicMaterial) -> dict[str, Any]:
    return {
        "base_node_name": node.name,
        "base_package_source_url": site.packages.url,
        "base_package_source_suite": site.packages.suite,
        "base_package_source_key": public.package_key,
        "base_time_servers": list(walls.time_servers(site, node)),
    }


def _walls(site: Site, node: Node) -> dict[str, Any]:
    if node.tier is Tier.KNOWLEDGE:
        return {}
    return {
        "walls_openings": [
            {"name": o.name, "port": o.port, "sources": list(o.sources), "purpose": o.purpose}
            for o in walls.openings(site, node)
        ],
        "walls_vrrp_peers": list(walls.vrrp_peers(site, node)),
        "walls_time_servers": list(walls.time_servers(site, node)),
    }


def _tls(public: PublicMaterial, secret: SecretMaterial) -> dict[str, Any]:
    return {"haproxy_certificate": secret.certificate_pem, "haproxy_ca": public.site_ca}


def _runtime(site: Site, public: PublicMaterial) -> dict[str, Any]:
    return {
        "container_runtime_registry": site.registry.authority,
        "container_runtime_registry_username": site.registry.reader,
        "container_runtime_registry_ca": public.registry_ca,
    }


def _inference(site: Site, node: Node, public: PublicMaterial, release: Release) -> dict[str, Any]:
    endpoint = topology.endpoint_of(site, node)
    slots = [
        {
            "name": name,
            "enabled": name in release.slots,
            # An empty slot is prepared, names no checkpoint, and is not started.
            "checkpoint": release.slots.get(name, ""),
            "http_port": http,
            "grpc_port": grpc,
            "metrics_port": metrics,
        }
        for name, (http, grpc, metrics) in SLOT_PORTS.items()
    ]
    return {
        **_runtime(site, public),
        "permafrost_node_name": node.name,
        "permafrost_node_endpoint": node.endpoint,
        "permafrost_node_slots": slots,
        "permafrost_node_serving": _serving_class(endpoint),
        "permafrost_node_repository": checkpoint_repository(endpoint.model),
        "permafrost_node_registry": site.registry.authority,
        "permafrost_node_registry_username": site.registry.reader,
        "permafrost_node_registry_ca": public.registry_ca,
        "permafrost_node_baselines_signed": public.baseline_signers is not None,
        "permafrost_node_baseline_signers": dict(public.baseline_signers or {}),
        "triton_endpoint": node.endpoint,
        "triton_backend": endpoint.backend.value,
        "triton_image": image_reference(site, endpoint.image),
        "triton_slots": slots,
        "triton_max_context_tokens": endpoint.max_context_tokens,
        "triton_max_concurrent": endpoint.max_concurrent,
        # In the lab the GPU is a record in vCenter; there is no device in the machine.
        "triton_gpu": site.environment == "hardware" and endpoint.gpu.mode is GpuMode.PASSTHROUGH,
        "triton_gpus": endpoint.gpu.count if endpoint.gpu.mode is not GpuMode.NONE else 1,
        "triton_container_cgroups": site.nodes.container_cgroups,
        "node_haproxy_node_name": node.name,
        "node_haproxy_address": str(node.address),
        "node_haproxy_slots": slots,
        "node_haproxy_buffer_bytes": buffer_bytes(site),
    }


def _serving_class(endpoint: Endpoint) -> dict[str, Any]:
    """Return what decides tokens beside the bytes and is known here; the node adds the rest."""
    return {
        "engine_image": endpoint.image.partition("@")[2],
        "parallelism": str(endpoint.gpu.count) if endpoint.gpu.mode is not GpuMode.NONE else "1",
        "batch": {
            "backend": endpoint.backend.value,
            "max_context_tokens": str(endpoint.max_context_tokens),
            "max_concurrent": str(endpoint.max_concurrent),
        },
    }
