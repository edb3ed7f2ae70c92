"""The reboot gate: which VM an ``up`` would power-cycle, move or replace, and why.

The provider's preview says "update" for all of them. What it will do follows from which
properties change and from a few of their values (``reboot_facts``). A property that was never
recorded counts as power-cycling: better a warning too much.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from permafrost.planning import reboot_facts as facts
from permafrost.planning.reboot_facts import Doing
from permafrost.planning.snapshot import Inventory
from permafrost.ports import Change

EXTRA_CONFIG = re.compile(r'^extraConfig(\["(?P<key>.*)"\])?$')


class Effect(StrEnum):
    """What becomes of a VM; the strongest comes first."""

    REPLACED = "replaced"
    POWER_CYCLED = "power-cycled"
    MOVED = "moved"
    POWERED_ON = "powered-on"
    UNTOUCHED = "untouched"


@dataclass(frozen=True, slots=True)
class PropertyEffect:
    """One changed property: what it does to the VM, and why."""

    property: str
    effect: Effect
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one VM, with every property that changes."""

    effect: Effect
    properties: tuple[PropertyEffect, ...] = ()

    @property
    def reasons(self) -> tuple[PropertyEffect, ...]:
        """The properties that decide."""
        return tuple(p for p in self.properties if p.effect is self.effect)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "effect": self.effect.value,
            "properties": [
                {"property": p.property, "effect": p.effect.value, "why": p.why}
                for p in self.properties
            ],
        }

    def __str__(self) -> str:
        why = "; ".join(f"{p.property}: {p.why}" for p in self.reasons)
        return f"{self.effect.value} ({why})" if why else self.effect.value


def verdict_of(
    changes: Mapping[str, str],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    is_on: bool = True,
    devices: frozenset[str] | None = None,
) -> Verdict:
    """Return what an update does to a VM.

    ``changes`` are paths of properties to the kind of change (add, update, delete; with "replace"
    in it where the provider says so), ``old`` and ``new`` the VM's values before and after.
    ``devices`` are the addresses that its host has, where they are known.
    """
    found = tuple(
        _effect(path, kind.lower(), old, new, is_on, devices)
        for path, kind in sorted(changes.items())
        if not path.startswith(facts.NOISE)
    )
    strongest = min((list(Effect).index(p.effect) for p in found), default=len(Effect) - 1)
    return Verdict(list(Effect)[strongest], found)


def verdict_of_change(inventory: Inventory, change: Change) -> Verdict:
    """Return what a change that Pulumi shows does to its VM, as vCenter shows it now."""
    vm = inventory.vm(change.name)
    host = inventory.host(vm.host) if vm is not None else None
    properties = change.properties or changed_properties(change.old, change.new)
    if change.operation == "replace" and not properties:
        properties = {"replaceTrigger": "replace"}
    devices = frozenset(g.address for g in host.gpus) if host is not None else None
    return verdict_of(
        properties,
        change.old,
        change.new,
        is_on=vm is None or vm.is_on,
        # Of a VM that moves, the devices of the host where it is say nothing.
        devices=None if "hostSystemId" in properties else devices,
    )


def _effect(
    path: str,
    kind: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    is_on: bool,
    devices: frozenset[str] | None,
) -> PropertyEffect:
    if fails := _fails(path, old, new, devices):
        return PropertyEffect(path, Effect.UNTOUCHED, fails)
    doing, why = _doing(path, kind, old, new)
    if doing is Doing.REPLACE:
        return PropertyEffect(path, Effect.REPLACED, why)
    if doing is Doing.MOVE:
        return PropertyEffect(path, Effect.MOVED, _move(why, old, is_on))
    if doing is Doing.CYCLE and is_on:
        return PropertyEffect(path, Effect.POWER_CYCLED, why)
    if doing in (Doing.CYCLE, Doing.RECONFIGURE) and not is_on:
        return PropertyEffect(
            path, Effect.POWERED_ON, "any update that reconfigures powers a VM on that is off"
        )
    return PropertyEffect(path, Effect.UNTOUCHED, why)


def _doing(
    path: str, kind: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> tuple[Doing, str]:
    """Return what a change of a running VM's property comes to, and why."""
    top = re.split(r"[.\[]", path, maxsplit=1)[0]
    if "replace" in kind or any(path == r or path.startswith(f"{r}.") for r in facts.REPLACES):
        return Doing.REPLACE, "only a new VM can have it; the old one is deleted first"
    if path in ("numCpus", "memory"):
        return _size(path, old, new)
    if EXTRA_CONFIG.match(path):
        if new.get("extraConfigRebootRequired") is False:
            return Doing.RECONFIGURE, "extraConfigRebootRequired is false"
        return Doing.CYCLE, "extraConfig changes, and extraConfigRebootRequired is not false"
    if path in facts.MOVES:
        return Doing.MOVE, "it is relocated as it is" + (
            ", where the pool is another cluster's" if path == "resourcePoolId" else ""
        )
    if path in facts.NOTES or top in facts.NOTES - {"clone"}:
        return Doing.NOTE, "the VM itself is not reconfigured"
    if top in facts.RECONFIGURES:
        return Doing.RECONFIGURE, _while_running(path)
    if top in facts.CYCLES:
        return Doing.CYCLE, "it is changed only while the VM is off"
    return Doing.CYCLE, "what this does was never recorded: a power-cycle is assumed"


def _size(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Doing, str]:
    before, after = _number(old.get(path)), _number(new.get(path))
    text = f"{before:g} to {after:g}"
    if after >= before:
        key = "cpuHotAddEnabled" if path == "numCpus" else "memoryHotAddEnabled"
        if old.get(key):
            return Doing.RECONFIGURE, f"{text}, added while it runs ({key})"
        return Doing.CYCLE, f"{text}, and {key} is not on"
    if path == "numCpus" and old.get("cpuHotRemoveEnabled"):
        return Doing.RECONFIGURE, f"{text}, removed while it runs (cpuHotRemoveEnabled)"
    return Doing.CYCLE, f"{text}: less is given only while it is off"


def _while_running(path: str) -> str:
    if path.startswith("networkInterfaces") and path.endswith("networkId"):
        return "it is on the other network at once: connections that it has there end"
    if path.startswith("disks[") and path.endswith(".label"):
        return "a disk is taken off the running VM at once"
    return "it is changed while the VM runs"


def _move(why: str, old: Mapping[str, Any], is_on: bool) -> str:
    if not is_on:
        return f"{why}, and stays off"
    if old.get("pciDeviceIds"):
        return f"{why}; vCenter refuses that for a VM that runs with a passthrough device"
    return why


def _fails(
    path: str, old: Mapping[str, Any], new: Mapping[str, Any], devices: frozenset[str] | None
) -> str:
    """Return why the update fails before anything is done to the VM; empty when it does not."""
    if path.startswith("pciDeviceIds") and devices is not None:
        unknown = sorted(set(new.get("pciDeviceIds") or ()) - devices)
        if unknown:
            return f"the update fails: its host has no device {', '.join(unknown)}"
    found = re.fullmatch(r"disks\[(\d+)\]\.thinProvisioned", path)
    if found and _item(old.get("disks"), int(found[1])).get("thinProvisioned"):
        return "the update fails: a thin disk does not become a thick one"
    return ""


def changed_properties(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths that differ between two sets of inputs, as the provider names them."""
    return dict(_differences(old, new, ""))


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, str]]:
    for key in sorted(set(old) | set(new)):
        if key.startswith("__") or old.get(key) == new.get(key):
            continue
        path = f'{prefix}["{key}"]' if prefix == "extraConfig" else f"{prefix}.{key}".lstrip(".")
        before, after = old.get(key), new.get(key)
        if before is None or after is None:
            yield path, "add" if before is None else "delete"
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(before, after, path)
        elif _are_lists_of_objects(before, after):
            for i in range(max(len(before), len(after))):
                yield from _differences(_item(before, i), _item(after, i), f"{path}[{i}]")
        else:
            yield path, "update"


def _are_lists_of_objects(*values: Any) -> bool:
    return all(isinstance(v, list) and v and isinstance(v[0], Mapping) for v in values)


def _item(values: Any, index: int) -> Mapping[str, Any]:
    found = values[index] if isinstance(values, list) and index < len(values) else {}
    return found if isinstance(found, Mapping) else {}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
