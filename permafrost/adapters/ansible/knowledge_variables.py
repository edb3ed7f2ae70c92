"""Variables of the knowledge tier's roles, and of the edges before it. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from permafrost import topology
from permafrost.adapters.ansible.images import image_reference
from permafrost.adapters.ansible.knowledge_leaders import (
    leaders_settings,
    leaders_units,
    query_ports,
    waits_for_leaders,
)
from permafrost.adapters.ansible.knowledge_watch import (
    member_tls,
    object_store_ca_file,
    waits_for_first,
    watch_settings,
)
from permafrost.planning import walls
from permafrost.planning.knowledge import (
    Unit,
    etcd_scheme,
    members,
    members_with,
    milvus_of,
    object_store_scheme,
    proxies,
    stores_on,
    units_of,
    version_of,
)
from permafrost.planning.knowledge_status import COORDINATORS
from permafrost.planning.milvus_versions import DATA_FOLDER, STORE_PORTS, STORE_UNITS
from permafrost.site.model import Site
from permafrost.topology import Node

OBJECT_STORE_USER = "permafrost"
OBJECT_STORE_PORT = 9000
ETCD_PORT = 2379
BALANCED_OBJECT_STORE_PORT = 9010
"""On the loopback of each member: Milvus knows one object store, and this is it."""
BALANCED_ETCD_PORT = 12379
"""On the loopback of each member: what a lost member leaves hanging is cut there."""
BUCKET = "milvus"
OWN_CERTIFICATE, OWN_KEY = "/milvus/tls/server.pem", "/milvus/tls/server.key"
AUTHORITY = "/milvus/tls/ca.pem"
"""In each container of Milvus: the member's certificate, its key, and whom it trusts."""
BROKER_TLS = {
    "security.protocol": "ssl",
    "ssl.ca.location": AUTHORITY,
    "ssl.certificate.location": OWN_CERTIFICATE,
    "ssl.key.location": OWN_KEY,
    # By default the client of 2.3 asks for no name: any certificate of the authority would do.
    "ssl.endpoint.identification.algorithm": "https",
}
"""librdkafka's own settings. Milvus 2.3.5 has none of its own for TLS to Kafka, and hands these to
each consumer and producer that it makes; it makes no other client."""
STORE_CA = "/etc/permafrost/milvus/tls/object-store-ca.pem"


def edge_variables(site: Site) -> dict[str, Any]:
    """Return the knowledge tier as an edge sees it; nothing where there is none."""
    if site.knowledge is None:
        return {}
    return {
        "edge_haproxy_knowledge": {
            "port": site.knowledge.milvus.port,
            "proxies": [
                {
                    "name": node.name,
                    "address": str(node.address),
                    "port": unit.public_port,
                    "health_port": unit.metrics_port,
                }
                for node, unit in proxies(site)
            ],
        }
    }


def member_variables(site: Site, node: Node) -> dict[str, Any]:
    """Return everything but the secrets that the roles of a knowledge member are told."""
    milvus = milvus_of(site)
    if milvus.images is None:
        raise ValueError("the images of the knowledge tier are not pinned")
    pins = milvus.images.model_dump()
    images = {role: image_reference(site, pin) for role, pin in pins.items() if pin}
    units, stores = units_of(site, node.name), stores_on(site, node.name)
    cgroups = site.nodes.container_cgroups
    balanced_etcd = f"{etcd_scheme(site)}://127.0.0.1:{BALANCED_ETCD_PORT}"
    found: dict[str, Any] = {
        "data_disk_device": milvus.data_device if site.environment == "hardware" else "",
        "data_disk_folder": DATA_FOLDER,
        "container_images": sorted({images["milvus"], *(images[s] for s in stores)}),
        "knowledge_walls_members": [str(n.address) for n in members(site)],
        "knowledge_walls_time_servers": list(walls.time_servers(site, node)),
        "knowledge_walls_edges": [str(n.address) for n in topology.edges(site)],
        "knowledge_walls_member_ports": _member_ports(units, stores),
        "knowledge_walls_edge_ports": sorted(
            port for u in units if u.public_port for port in (u.public_port, u.metrics_port)
        ),
        **_object_store(site),
        "store_balancer_object_store_port": BALANCED_OBJECT_STORE_PORT,
        "store_balancer_object_store_servers": _places(site, "object_store", OBJECT_STORE_PORT),
        "store_balancer_object_store_tls": milvus.object_store_tls,
        "store_balancer_etcd_port": BALANCED_ETCD_PORT,
        "store_balancer_etcd_tls": milvus.etcd_tls,
        "store_balancer_etcd_servers": _nearest_first(_places(site, "etcd", ETCD_PORT), node),
        "knowledge_state_units": [
            *(STORE_UNITS[s] for s in stores),
            *leaders_units(site, node),
            *(u.name for u in units if not u.is_spare),
        ],
        "knowledge_state_spares": [u.name for u in units if u.is_spare],
        "knowledge_state_serving": _in_stopping_order(units),
        "knowledge_state_query_ports": query_ports(site, node),
        "knowledge_state_coordinators": list(COORDINATORS[milvus.version]),
        "knowledge_state_address": str(node.address),
        "knowledge_state_etcd": _urls(site, "etcd", ETCD_PORT),
        "knowledge_state_tls": member_tls(milvus.etcd_tls),
        "knowledge_state_queue_tls": member_tls(milvus.queue_tls),
        "knowledge_state_root": site.site,
        "knowledge_state_data": DATA_FOLDER,
        "knowledge_state_queue_members": len(members_with(site, "queue")),
        "knowledge_state_topics": [f"{site.site}-{t}" for t in version_of(site).topics],
        "knowledge_watch_settings": watch_settings(
            site,
            node,
            balanced_etcd,
            ETCD_PORT,
            OBJECT_STORE_PORT,
        ),
        "milvus_image": images["milvus"],
        "milvus_units": [
            {
                **_unit(u),
                "waits_for_first": waits_for_first(site, node, u.role),
                "waits_for_leaders": waits_for_leaders(site, u),
            }
            for u in units
        ],
        "milvus_settings": _settings(site),
        "milvus_data_folder": f"{DATA_FOLDER}/milvus",
        "milvus_container_cgroups": cgroups,
        "milvus_etcd_urls": _urls(site, "etcd", ETCD_PORT),
    }
    if version_of(site).pins_leaders:
        found["knowledge_leaders_settings"] = leaders_settings(site, node, balanced_etcd)
        found["knowledge_leaders_spreads"] = bool(query_ports(site, node))
    if "etcd" in stores:
        found |= {
            "etcd_image": images["etcd"],
            "etcd_name": node.name,
            "etcd_address": str(node.address),
            "etcd_cluster": site.site,
            "etcd_tls": milvus.etcd_tls,
            "etcd_members": _places(site, "etcd", 2380),
            "etcd_data_folder": f"{DATA_FOLDER}/etcd",
            "etcd_container_cgroups": cgroups,
        }
    if "queue" in stores:
        brokers = members_with(site, "queue")
        found |= {
            "kafka_image": images["queue"],
            "kafka_node_id": [n.name for n in brokers].index(node.name) + 1,
            "kafka_address": str(node.address),
            "kafka_cluster_id": cluster_id(site),
            "kafka_members": _places(site, "queue", 9093),
            "kafka_tls": milvus.queue_tls,
            "kafka_heap_mib": heap_mib(milvus.vm.memory_mib),
            "kafka_data_folder": f"{DATA_FOLDER}/kafka",
            "kafka_container_cgroups": cgroups,
        }
    if "object_store" in stores:
        found |= {
            "minio_image": images["object_store"],
            "minio_address": str(node.address),
            "minio_members": _places(site, "object_store", OBJECT_STORE_PORT),
            "minio_tls": milvus.object_store_tls,
            "minio_user": OBJECT_STORE_USER,
            "minio_data_folder": f"{DATA_FOLDER}/minio",
            # The lab's machines have no disk of their own, which MinIO would refuse.
            "minio_root_disk": site.environment == "lab",
            "minio_container_cgroups": cgroups,
        }
    return found


def cluster_id(site: Site) -> str:
    """Return the id of the site's Kafka cluster: 16 bytes in base64url, of the site's name."""
    digest = hashlib.sha256(f"permafrost {site.site}".encode()).digest()[:16]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def heap_mib(memory_mib: int) -> int:
    """Return the brokers' heap: a sixteenth of the VM, 256 MiB at least, 6 GiB at most."""
    return max(256, min(6144, memory_mib // 16))


def _settings(site: Site) -> dict[str, Any]:
    """Return what is laid over the image's settings, without secrets."""
    base = version_of(site).settings
    etcd: dict[str, Any] = {
        "endpoints": f"127.0.0.1:{BALANCED_ETCD_PORT}",
        "rootPath": site.site,
    }
    if milvus_of(site).etcd_tls:
        etcd["ssl"] = {
            "enabled": True,
            "tlsCert": OWN_CERTIFICATE,
            "tlsKey": OWN_KEY,
            "tlsCACert": AUTHORITY,
            "tlsMinVersion": "1.2",
        }
    store = milvus_of(site).object_store
    minio = {
        "address": "127.0.0.1",
        "port": BALANCED_OBJECT_STORE_PORT,
        "useSSL": milvus_of(site).object_store_tls,
        "accessKeyID": OBJECT_STORE_USER,
        "bucketName": BUCKET,
    }
    if store is not None:
        minio = {
            "address": store.address,
            "port": store.port,
            "useSSL": True,
            "accessKeyID": store.access_key,
            "bucketName": store.bucket,
            "region": store.region,
            # The bucket may be another's as well.
            "rootPath": site.site,
        }
    tls = {
        "serverPemPath": OWN_CERTIFICATE,
        "serverKeyPath": OWN_KEY,
        "caPemPath": AUTHORITY,
    }
    encryption = BROKER_TLS if milvus_of(site).queue_tls else {}
    kafka = {
        "brokerList": ",".join(_authorities(site, "queue", 9092)),
        "consumer": {**base["kafka"]["consumer"], **encryption},
        "producer": {**base["kafka"]["producer"], **encryption},
    }
    common = {"chanNamePrefix": {"cluster": site.site}}
    return {
        **base,
        "etcd": {**base["etcd"], **etcd},
        "minio": {**base["minio"], **minio},
        "kafka": {**base["kafka"], **kafka},
        "common": {**base["common"], **common},
        "tls": tls,
    }


def _object_store(site: Site) -> dict[str, Any]:
    """Return how a member asks for the object store: its own balancer's, or one elsewhere."""
    store = milvus_of(site).object_store
    if store is None:
        url = f"{object_store_scheme(site)}://127.0.0.1:{BALANCED_OBJECT_STORE_PORT}"
        ready, ca = "/minio/health/cluster", object_store_ca_file(site)
    else:
        url, ready = f"https://{store.authority}", f"/{store.bucket}"
        ca = STORE_CA if store.ca_file else ""
    return {
        "knowledge_state_object_store": url,
        "knowledge_state_object_store_ready": ready,
        "knowledge_state_object_store_external": store is not None,
        "knowledge_state_object_store_ca": ca,
    }


def _member_ports(units: tuple[Unit, ...], stores: tuple[str, ...]) -> list[int]:
    found = {port for store in stores for port in STORE_PORTS[store]}
    for unit in units:
        found |= {*unit.ports.values(), unit.metrics_port}
    return sorted(found)


def _in_stopping_order(units: tuple[Unit, ...]) -> list[list[str]]:
    """Return the processes by kind: proxies first, coordinators, which move segments, last."""
    last = {"proxies": 0, "coordinators": 2}
    kinds = sorted({u.role for u in units}, key=lambda role: (last.get(role, 1), role))
    return [[u.name for u in units if u.role == role] for role in kinds]


def _unit(unit: Unit) -> dict[str, Any]:
    ports = {name: str(port) for name, port in unit.ports.items()}
    return {
        "name": unit.name,
        "role": unit.role,
        "arguments": list(unit.arguments),
        "environment": {
            **unit.environment,
            **ports,
            "METRICS_PORT": str(unit.metrics_port),
        },
        "public_port": unit.public_port,
        "metrics_port": unit.metrics_port,
        "stop_s": unit.stop_s,
        "is_spare": unit.is_spare,
    }


def _places(site: Site, role: str, port: int) -> list[Mapping[str, Any]]:
    return [
        {"name": n.name, "address": str(n.address), "port": port} for n in members_with(site, role)
    ]


def _nearest_first(places: list[Mapping[str, Any]], node: Node) -> list[Mapping[str, Any]]:
    """Return a member's own place first; those after it follow it, so that not all meet on one."""
    after = [p for p in places if str(p["name"]) >= node.name]
    return [*after, *(p for p in places if str(p["name"]) < node.name)]


def _authorities(site: Site, role: str, port: int) -> list[str]:
    return [f"{n.address}:{port}" for n in members_with(site, role)]


def _urls(site: Site, role: str, port: int) -> list[str]:
    return [f"{etcd_scheme(site)}://{authority}" for authority in _authorities(site, role, port)]
