"""All functions, by name."""

from __future__ import annotations

from collections.abc import Callable

from lab.provider.functions.hosts import get_host, get_host_pci_device
from lab.provider.functions.machines import get_virtual_machine
from lab.provider.functions.places import (
    get_compute_cluster,
    get_datacenter,
    get_datastore,
    get_folder,
    get_network,
    get_resource_pool,
)
from lab.provider.functions.tags import get_tag, get_tag_category
from lab.provider.session import Session
from lab.provider.values import Props

Function = Callable[[Session, Props], Props]

FUNCTIONS: dict[str, Function] = {
    "getDatacenter": get_datacenter,
    "getComputeCluster": get_compute_cluster,
    "getDatastore": get_datastore,
    "getNetwork": get_network,
    "getVirtualMachine": get_virtual_machine,
    "getHost": get_host,
    "getHostPciDevice": get_host_pci_device,
    "getResourcePool": get_resource_pool,
    "getFolder": get_folder,
    "getTagCategory": get_tag_category,
    "getTag": get_tag,
}
