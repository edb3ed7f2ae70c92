"""Planning a VirtualMachine: what the table of properties cannot say.

Disks are matched by label, not by place; a disk that the program no longer names stays in the
plan under a label that no program can give, so that the difference shows it. Another template
makes another machine. And the template is asked whether the clone can work at all.
"""

from __future__ import annotations

from typing import Any

from lab.provider import comparison, inventory, planning
from lab.provider.comparison import Change, Difference
from lab.provider.errors import NotFoundError, ProviderError
from lab.provider.session import Operation
from lab.provider.values import UNKNOWN, Props, has_unknown
from lab.provider.vm import devices
from lab.provider.vm.schema import DISK, SCHEMA

COMPUTED = "<computed>"
REMOVED = "<deleted>"
KIB_PER_GIB = 1 << 20
REFUSED = ("ovfDeploy", "vapp")
CLONE_MAPS = ("ovfNetworkMap", "ovfStorageMap")
CLONE_SETTINGS = ("timeout", *CLONE_MAPS)
"""What may change in `clone` without making another machine."""


def plan(op: Operation, olds: Props | None, news: Props) -> Props:
    """Return the state that shall be; raises ProviderError where the inputs cannot work."""
    planned = planning.plan(SCHEMA, olds, news)
    planned["cdroms"] = planned["cdroms"] or []
    for key in REFUSED:
        if news.get(key):
            raise ProviderError(f"{key}: the lab's plugin makes machines by cloning only")
    _check_disks(news)
    if not news.get("networkInterfaces"):
        raise ProviderError(
            "network_interface parameter is required when not deploying from ovf template"
        )
    if olds is None:
        _check_template(op, news)
        if planned["disks"] != UNKNOWN:
            planned["disks"] = [_new_disk(d) for d in planned["disks"]]
        return planned
    planned["disks"] = _plan_disks(olds.get("disks") or [], news["disks"])
    if olds.get("resourcePoolId") != planned["resourcePoolId"]:
        stays = olds.get("hostSystemId") == planned.get("hostSystemId")
        planned["hostSystemId"] = UNKNOWN if stays else planned["hostSystemId"]
    if planned.get("clone"):
        maps = {key: planned["clone"].get(key) or {} for key in CLONE_MAPS}
        planned["clone"] = {**planned["clone"], **maps}
    return planned


def diff(olds: Props, planned: Props, news: Props) -> Difference:
    """Return how a machine's state and the planned one differ."""
    del news
    found = comparison.compare(SCHEMA, olds, planned)
    clone, before = planned.get("clone"), olds.get("clone")
    if clone and before:
        found.detail = _clone_changes(found.detail)
    found.delete_first = bool(found.replaces)
    return found


def echoes(olds: Props, planned: Props) -> dict[str, Change]:
    """Return the two maps that a first update fills in, whatever it is about."""
    before = olds.get("clone")
    if not planned.get("clone") or not before or before.get("ovfNetworkMap") is not None:
        return {}
    return {f"clone.{key}": Change.ADD for key in CLONE_MAPS}


def _clone_changes(detail: dict[str, Change]) -> dict[str, Change]:
    """Return the changes with `__meta` as the one that replaces, if another clone is meant."""
    settings = tuple(f"clone.{key}" for key in CLONE_SETTINGS)
    other = [p for p in detail if p.startswith("clone.") and not p.startswith(settings)]
    return {**detail, "__meta": Change.UPDATE_REPLACE} if other else detail


def _check_disks(news: Props) -> None:
    disks = news.get("disks")
    if not disks:
        raise ProviderError("there must be at least one disk specified")
    if has_unknown(disks):
        return
    labels: set[str] = set()
    units: set[tuple[str, int]] = set()
    for disk in disks:
        controller = disk.get("controllerType", "scsi")
        unit = (controller, disk.get("unitNumber") or 0)
        if disk["label"] in labels:
            raise ProviderError(f"disk: duplicate name {disk['label']}")
        if unit in units:
            raise ProviderError(f"disk: duplicate {controller.upper()} unit_number {unit[1]}")
        labels.add(disk["label"])
        units.add(unit)
    if not any(number == (1 if kind == "ide" else 0) for kind, number in units):
        raise ProviderError(
            "at least one disk must have a unit_number of 0 for SATA, SCSI, NVMe or 1 for IDE"
        )
    for i, disk in enumerate(disks):
        if not disk.get("size") and not disk.get("attach"):
            raise ProviderError(
                f'disk.{i}: size for disk "{disk["label"]}": required option not set'
            )


def _check_template(op: Operation, news: Props) -> None:
    clone = news.get("clone")
    if not clone or has_unknown(clone):
        return
    uuid = clone["templateUuid"]
    try:
        template = inventory.vm_by_uuid(op.session, uuid)
    except NotFoundError as e:
        raise ProviderError(
            f'cannot locate virtual machine or template with UUID "{uuid}": {e}'
        ) from e
    found = op.session.properties(template, "config.guestId", "config.hardware.device")
    guest = str(found.get("config.guestId", ""))
    if not has_unknown(news.get("guestId")) and news.get("guestId", "") != guest:
        wrong = news.get("guestId", "")
        raise ProviderError(f'invalid guest ID "{wrong}" for clone. Please set it to "{guest}"')
    if has_unknown(news["disks"]):
        return
    sources = devices.disks(found["config.hardware.device"])
    for i, (source, disk) in enumerate(zip(sources, _by_unit(news["disks"]), strict=False)):
        smallest = source.capacityInKB // KIB_PER_GIB
        if disk["size"] < smallest:
            raise ProviderError(
                f"disk.{i}: disk name {disk['label']} must be at least the same size of source "
                f"when cloning (expected: >= {smallest} GiB)"
            )


def _by_unit(disks: list[Props]) -> list[Props]:
    return sorted(disks, key=lambda d: d.get("unitNumber") or 0)


def _new_disk(disk: Props) -> Props:
    datastore = disk["datastoreId"]
    return {**disk, "key": 0, "datastoreId": COMPUTED if datastore == UNKNOWN else datastore}


def _plan_disks(olds: list[Props], news: list[Props]) -> list[Props]:
    wanted = {d["label"]: d for d in news}
    planned: list[Props] = []
    for i, old in enumerate(olds):
        new = wanted.pop(old["label"], None)
        if new is None:
            planned.append({**old, "label": f"{REMOVED}{old['label']}"})
            continue
        merged = _merge_disk(old, new)
        if _shrinks(old, merged):
            raise ProviderError(
                f'disk.{i}: virtual disk "{old["label"]}": virtual disks cannot be shrunk '
                f"(old: {old['size']} new: {merged['size']})"
            )
        planned.append(merged)
    for new in news:
        if new["label"] in wanted:
            fresh: dict[str, Any] = planning.plan(DISK, None, new)
            planned.append(_new_disk(fresh))
    return planned


def _merge_disk(old: Props, new: Props) -> Props:
    merged: Props = planning.plan(DISK, old, new)
    return merged


def _shrinks(old: Props, new: Props) -> bool:
    return bool(new["size"] != UNKNOWN and old["size"] > new["size"])


def is_removed(disk: Props) -> bool:
    """Say whether a planned disk is one that the program no longer names."""
    return str(disk["label"]).startswith(REMOVED)
