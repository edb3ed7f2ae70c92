"""One PropertyCollector filter over a whole datacenter, page by page."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from typing import Any

from pyVmomi import vim, vmodl

from permafrost.adapters.vsphere.answer import Object
from permafrost.adapters.vsphere.exchange import ask

Row = dict[str, Any]

DEVICES = "config.hardware.device"

PROPERTIES: dict[Any, list[str]] = {
    vim.HostSystem: [
        "name",
        "parent",
        "runtime.connectionState",
        "runtime.inMaintenanceMode",
        "hardware.pciDevice",
        "hardware.memorySize",
        "hardware.cpuInfo.numCpuThreads",
        "config.pciPassthruInfo",
        "config.product.version",
        "config.graphicsInfo",
        "config.sharedPassthruGpuTypes",
    ],
    vim.VirtualMachine: [
        "name",
        "config.uuid",
        "config.template",
        "config.annotation",
        "config.firmware",
        "config.version",
        "config.guestId",
        "config.hardware.memoryMB",
        DEVICES,
        "config.memoryAllocation.reservation",
        "config.memoryReservationLockedToMax",
        "runtime.host",
        "runtime.powerState",
        "runtime.connectionState",
        "guest.ipAddress",
        "guest.net",
        "datastore",
        "network",
        "customValue",
    ],
    vim.ClusterComputeResource: ["name", "configurationEx"],
    vim.Datastore: ["name", "summary.freeSpace", "summary.capacity", "summary.accessible", "host"],
    vim.Network: ["name"],
}
"""What is read of each kind of object; nothing else crosses the wire."""

LICENSES = "licenses"
FIELDS = "field"
SINGLE = (vim.LicenseManager, vim.CustomFieldsManager)
"""Of these a vCenter has one each, outside of every datacenter."""


def retrieve(content: Any, root: Any) -> dict[Any, list[Row]]:
    """Return the properties of every object below a datacenter; licences, names of attributes."""
    kinds = list(PROPERTIES)
    view = content.viewManager.CreateContainerView(root, kinds, True)
    try:
        rows: dict[Any, list[Row]] = {kind: [] for kind in (*kinds, *SINGLE)}
        _keep(rows, answers(content, question(view, content)))
        return rows
    finally:
        view.DestroyView()


def answers(content: Any, wanted: Any) -> Generator[Object]:
    """Yield each object that a filter is about, with its properties, page by page.

    Who has seen enough closes it: vCenter keeps the pages that nobody asked for until the session
    ends, unless it is told that nobody will.
    """
    collector = content.propertyCollector
    found, token = ask(collector, "RetrievePropertiesEx", [wanted], _query().RetrieveOptions())
    try:
        yield from found
        while token:
            found, token = ask(collector, "ContinueRetrievePropertiesEx", token)
            yield from found
    except GeneratorExit:
        if token:
            # What was found is found, whether or not vCenter lets go of the rest.
            with suppress(vmodl.MethodFault):
                collector.CancelRetrievePropertiesEx(token)
        raise


def in_view(view: Any, properties: Mapping[Any, list[str]]) -> Any:
    """Return the filter that asks some properties of everything in a view."""
    query = _query()
    through_view = query.TraversalSpec(
        name="view", path="view", skip=False, type=vim.view.ContainerView
    )
    return query.FilterSpec(
        objectSet=[query.ObjectSpec(obj=view, skip=True, selectSet=[through_view])],
        propSet=[
            query.PropertySpec(type=kind, pathSet=paths, all=False)
            for kind, paths in properties.items()
        ],
    )


def _keep(rows: dict[Any, list[Row]], found: Iterable[Object]) -> None:
    for reference, row in found:
        row["moid"] = reference._moId
        for kind, known in rows.items():
            if isinstance(reference, kind) and ("name" in row or kind in SINGLE):
                known.append(row)


def question(view: Any, content: Any) -> Any:
    """Return the filter: what is asked of everything in a view, and of what there is once."""
    query, made = _query(), in_view(view, PROPERTIES)
    objects, wanted = list(made.objectSet), list(made.propSet)
    for thing, path in (
        (content.licenseManager, LICENSES),
        (content.customFieldsManager, FIELDS),
    ):
        if thing is not None:
            objects.append(query.ObjectSpec(obj=thing, skip=False))
            wanted.append(query.PropertySpec(type=type(thing), pathSet=[path], all=False))
    return query.FilterSpec(objectSet=objects, propSet=wanted)


def _query() -> Any:
    return vmodl.query.PropertyCollector  # pyvmomi's types carry no types
