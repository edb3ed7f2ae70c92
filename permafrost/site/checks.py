"""Rules of a site that need more than one field; all problems are found in one go.

Rules that need to know the hosts (devices, memory) are the placement's.
"""

from __future__ import annotations

from collections.abc import Iterator

from permafrost.errors import Problem
from permafrost.site.check_addresses import check_addresses
from permafrost.site.check_domains import check_domains
from permafrost.site.check_tiers import check_tiers
from permafrost.site.model import Endpoint, GpuMode, Site
from permafrost.topology import SSH_PORT

RESERVED_EDGE_PORTS = {SSH_PORT: "SSH"}
"""Ports that every edge already uses."""

RESERVED_NAMES = {"edge": "the edge nodes", "knowledge": "the knowledge tier"}
"""Names that stand in node names where an endpoint's would."""

REGISTRY_NAME = {"registry": "the registry's VM"}
"""Likewise, of a site that makes one."""


def check_site(site: Site) -> list[Problem]:
    """Return every problem of the site's own values."""
    return [
        *_endpoints(site),
        *_ports(site),
        *check_domains(site),
        *check_addresses(site),
        *check_tiers(site),
    ]


def _endpoints(site: Site) -> Iterator[Problem]:
    reserved = RESERVED_NAMES | ({} if site.registry.node is None else REGISTRY_NAME)
    for name, endpoint in sorted(site.inference.items()):
        here = f"inference.{name}"
        if name in reserved:
            yield Problem(
                "ENDPOINT_NAME_RESERVED",
                f"`{name}` is the name of {reserved[name]}",
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
        yield from _gpu(here, endpoint)


def _gpu(here: str, endpoint: Endpoint) -> Iterator[Problem]:
    gpu = endpoint.gpu
    if gpu.mode is GpuMode.PASSTHROUGH and gpu.vendor_device is None:
        yield Problem(
            "GPU_WITHOUT_DEVICE",
            "passthrough needs the device's kind",
            f"{here}.gpu.vendor_device",
            'name it as "vendor:device", for example "10de:2330"',
        )
    if gpu.mode is GpuMode.VGPU and gpu.profile is None:
        yield Problem(
            "VGPU_WITHOUT_PROFILE",
            "vgpu needs a profile",
            f"{here}.gpu.profile",
            "name it as vCenter lists it, for example grid_a100-40c",
        )
    if gpu.mode is not GpuMode.PASSTHROUGH and gpu.vendor_device is not None:
        yield Problem(
            "GPU_DEVICE_WITHOUT_MODE",
            f"a device is named, but mode is {gpu.mode.value}",
            f"{here}.gpu.mode",
            "set mode to passthrough, or remove vendor_device",
        )
    if gpu.mode is not GpuMode.VGPU and gpu.profile is not None:
        yield Problem(
            "GPU_PROFILE_WITHOUT_MODE",
            f"a vGPU profile is named, but mode is {gpu.mode.value}",
            f"{here}.gpu.mode",
            "set mode to vgpu, or remove profile",
        )
    if gpu.mode is GpuMode.NONE and gpu.count != 1:
        yield Problem(
            "GPU_COUNT_WITHOUT_MODE",
            f"{gpu.count} devices are asked for, but mode is none",
            f"{here}.gpu.mode",
            "set mode to passthrough or vgpu, or remove count",
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
