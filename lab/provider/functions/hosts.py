"""Hosts, and the devices in them."""

from __future__ import annotations

import re

from lab.provider import inventory
from lab.provider.errors import ProviderError
from lab.provider.functions.places import center_of
from lab.provider.session import Session
from lab.provider.values import Props
from lab.provider.vsphere import vim


def get_host(session: Session, args: Props) -> Props:
    """Return a host and the root pool it stands in."""
    center = center_of(session, args)
    folder = session.properties(center, "hostFolder")["hostFolder"]
    hosts = inventory.view(session, folder, vim.HostSystem)
    if args.get("name"):
        hosts = inventory.named(session, hosts, args["name"])
        if not hosts:
            raise ProviderError(f"error fetching host: host '{args['name']}' not found")
    if len(hosts) != 1:
        raise ProviderError(
            "error fetching host: default host resolves to multiple instances, please specify"
        )
    owner = session.properties(hosts[0], "parent")["parent"]
    pool = session.properties(owner, "resourcePool")["resourcePool"]
    return {**args, "id": hosts[0]._moId, "resourcePoolId": pool._moId}


def get_host_pci_device(session: Session, args: Props) -> Props:
    """Return the first PCI device of a host that fits; an empty answer where none does."""
    host = session.reference(vim.HostSystem, args["hostId"])
    pattern = None
    if args.get("nameRegex"):
        try:
            pattern = re.compile(args["nameRegex"])
        except re.error as e:
            raise ProviderError(
                f"error parsing regexp: missing closing ): `{args['nameRegex']}`"
            ) from e
    for device in session.properties(host, "hardware.pciDevice").get("hardware.pciDevice", []):
        class_id, vendor_id = f"{device.classId:x}", f"{device.vendorId:x}"
        if args.get("classId") not in (None, "", class_id):
            continue
        if args.get("vendorId") not in (None, "", vendor_id):
            continue
        if pattern is None or pattern.search(device.deviceName):
            named = {"classId": class_id, "vendorId": vendor_id, "name": device.deviceName}
            return {**args, **named, "id": device.id}
    return {}
