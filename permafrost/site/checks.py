"""Rules of a site that need more than one field; all problems are found in one go.

Rules that need to know the hosts (enough failure domains, enough GPUs) are the placement's.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from permafrost.errors import Problem
from permafrost.site.model import GpuMode, Site
from permafrost.topology import address_pool, node_names

RESERVED_EDGE_PORTS = {22: "SSH"}
"""Ports that every edge already uses."""


def check_site(site: Site) -> list[Problem]:
    """Return every problem of the site's own values."""
    return [*_endpoints(site), *_ports(site), *_network(site), *_vip(site)]


def check_files(site: Site, resolve: Callable[[str], Path]) -> list[Problem]:
    """Return every file that the site names and that is missing, unreadable or open to others."""
    secret = {
        "vcenter.password_file": site.vcenter.password_file,
        "registry.password_file": site.registry.password_file,
        "control.passphrase_file": site.control.passphrase_file,
    }
    public = {
        "registry.ca_file": site.registry.ca_file,
        "packages.key_file": site.packages.key_file,
    }
    if site.vcenter.ca_file is not None:
        public["vcenter.ca_file"] = site.vcenter.ca_file
    if site.registry.signatures is not None:
        for name, file in site.registry.signatures.signers.items():
            public[f"registry.signatures.signers.{name}"] = file
    found: list[Problem] = []
    for key, name in sorted({**secret, **public}.items()):
        found += _file(key, resolve(name), is_secret=key in secret)
    return found


def _endpoints(site: Site) -> Iterator[Problem]:
    for name, endpoint in sorted(site.inference.items()):
        here = f"inference.{name}"
        if name == "edge":
            yield Problem(
                "ENDPOINT_NAME_RESERVED",
                "`edge` is the name of the edge nodes",
                here,
                "give the endpoint another name",
            )
        ceiling = max(1, endpoint.replicas - 1)
        if endpoint.min_ready > ceiling:
            yield Problem(
                "MIN_READY_TOO_HIGH",
                f"min_ready {endpoint.min_ready} of {endpoint.replicas} replicas leaves none that "
                "may be taken away for maintenance",
                f"{here}.min_ready",
                f"set min_ready to at most {ceiling}, or raise replicas",
            )
        gpu = endpoint.gpu
        if gpu.mode is GpuMode.PASSTHROUGH and gpu.vendor_device is None:
            yield Problem(
                "GPU_WITHOUT_DEVICE",
                "passthrough needs the device's kind",
                f"{here}.gpu.vendor_device",
                'name it as "vendor:device", for example "10de:2330"',
            )
        if gpu.mode is GpuMode.NONE and gpu.vendor_device is not None:
            yield Problem(
                "GPU_DEVICE_WITHOUT_MODE",
                "a device is named, but mode is none",
                f"{here}.gpu.mode",
                "set mode to passthrough, or remove vendor_device",
            )
        if gpu.mode is GpuMode.PASSTHROUGH and gpu.mmio_gib & (gpu.mmio_gib - 1):
            yield Problem(
                "GPU_MMIO_NOT_POWER_OF_TWO",
                f"{gpu.mmio_gib} GiB is no power of two",
                f"{here}.gpu.mmio_gib",
                "round the sum of the devices' BAR sizes up to a power of two",
            )


def _ports(site: Site) -> Iterator[Problem]:
    taken: dict[int, str] = dict(RESERVED_EDGE_PORTS)
    for name, endpoint in sorted(site.inference.items()):
        if endpoint.port in taken:
            yield Problem(
                "PORT_TAKEN",
                f"port {endpoint.port} of the edge is already used by {taken[endpoint.port]}",
                f"inference.{name}.port",
                "each endpoint needs a port of its own",
            )
        else:
            taken[endpoint.port] = f"endpoint {name}"


def _network(site: Site) -> Iterator[Problem]:
    network = site.network
    if network.gateway not in network.subnet:
        yield Problem(
            "GATEWAY_OUTSIDE_SUBNET",
            f"{network.gateway} is not in {network.subnet}",
            "network.gateway",
            "name the gateway of the nodes' own subnet",
        )
    try:
        pool = address_pool(network.addresses)
    except ValueError as error:
        yield Problem(
            "ADDRESSES_MALFORMED",
            f"{network.addresses!r}: {error}",
            "network.addresses",
            "write first-last, for example 10.20.0.20-10.20.0.99",
        )
        return
    yield from _pool(site, pool)


def _pool(site: Site, pool: list[IPv4Address]) -> Iterator[Problem]:
    network = site.network
    where = "network.addresses"
    if not {pool[0], pool[-1]} <= set(_ends_inside(site, pool)):
        yield Problem(
            "ADDRESSES_OUTSIDE_SUBNET",
            f"{pool[0]}-{pool[-1]} does not lie within the hosts of {network.subnet}",
            where,
            "use addresses between the subnet's first and last host",
        )
    if pool[0] <= network.gateway <= pool[-1]:
        yield Problem(
            "GATEWAY_IN_ADDRESSES",
            f"the gateway {network.gateway} lies within {pool[0]}-{pool[-1]}",
            where,
            "leave the gateway out of the range",
        )
    needed = len(node_names(site))
    if len(pool) < needed:
        yield Problem(
            "ADDRESSES_TOO_FEW",
            f"{len(pool)} addresses for {needed} nodes",
            where,
            f"give at least {needed} addresses",
        )


def _ends_inside(site: Site, pool: list[IPv4Address]) -> Iterator[IPv4Address]:
    subnet = site.network.subnet
    for address in (pool[0], pool[-1]):
        if address in subnet and address not in (subnet.network_address, subnet.broadcast_address):
            yield address


def _vip(site: Site) -> Iterator[Problem]:
    """Yield what is wrong with the edges' common address; it belongs to no node."""
    vip, network = site.edge.vip, site.network
    if vip is None:
        if site.edge.nodes > 1:
            yield Problem(
                "EDGE_VIP_MISSING",
                f"{site.edge.nodes} edges need an address in common",
                "edge.vip",
                "give a free address of the subnet that belongs to no node",
            )
        return
    where = "edge.vip"
    outside = (network.subnet.network_address, network.subnet.broadcast_address)
    if vip not in network.subnet or vip in outside:
        yield Problem(
            "EDGE_VIP_OUTSIDE_SUBNET",
            f"{vip} is no host of {network.subnet}",
            where,
            "VRRP moves an address within one subnet: choose one there",
        )
    with suppress(ValueError):
        if vip == network.gateway or vip in address_pool(network.addresses):
            yield Problem(
                "EDGE_VIP_TAKEN",
                f"{vip} is the gateway's or a node's",
                where,
                "choose an address outside network.addresses",
            )


def _file(key: str, path: Path, *, is_secret: bool) -> Iterator[Problem]:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(21, "Is a directory")
        with path.open("rb") as stream:
            is_empty = not stream.read(1)
    except OSError as error:
        yield Problem(
            "FILE_UNREADABLE",
            f"cannot read {path}: {error.strerror}",
            key,
            "paths are relative to the folder of the site file",
        )
        return
    if is_empty:
        yield Problem("FILE_EMPTY", f"{path} is empty", key)
    if is_secret and mode & 0o077:
        yield Problem(
            "SECRET_FILE_OPEN",
            f"{path} may be read by others (mode {stat.S_IMODE(mode):04o})",
            key,
            f"chmod 600 {path}",
        )
