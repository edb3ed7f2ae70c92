"""The rules of the policy pack, as pure functions of a resource's inputs.

They hold for whatever declares a site's resources, the project's own program or one that somebody
changed: the provider's defaults are the other way round (a rule is a preference, power is cut).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

VM = "vsphere:index/virtualMachine:VirtualMachine"
APART = "vsphere:index/computeClusterVmAntiAffinityRule:ComputeClusterVmAntiAffinityRule"
EDGES_IN = "keep-edges-in-"
VM_HOST = "vsphere:index/computeClusterVmHostRule:ComputeClusterVmHostRule"
CONVERGENCE = "pulumi-python:dynamic/permafrost:Convergence"

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
SYSTEM_DISK = 0
"""Unit number of the disk that comes from the template; any other holds data."""

Inputs = Mapping[str, Any]
Check = Callable[[Inputs, bool], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: which resource types it is about, and what is wrong with one of them."""

    name: str
    description: str
    types: frozenset[str]
    check: Check

    def violations(self, type_: str, inputs: Inputs, *, protect: bool = False) -> tuple[str, ...]:
        """Return what is wrong with a resource; nothing for types that it is not about."""
        return tuple(self.check(inputs, protect)) if type_ in self.types else ()


def _mandatory(inputs: Inputs, _: bool) -> Iterator[str]:
    if inputs.get("mandatory") is not True:
        yield "the rule is a preference; set mandatory=True, or DRS and HA may break it"
    if inputs.get("enabled") is False:
        yield "the rule is disabled; set enabled=True"


def _kept_in(inputs: Inputs, protect: bool) -> Iterator[str]:
    """An edge must be able to leave a rack that goes away whole; nothing else may."""
    is_of_edges = str(inputs.get("name") or "").startswith(EDGES_IN)
    yield from _mandatory({**inputs, "mandatory": True} if is_of_edges else inputs, protect)


def _reserved(inputs: Inputs, _: bool) -> Iterator[str]:
    if not inputs.get("pciDeviceIds"):
        return
    memory, reserved = inputs.get("memory"), inputs.get("memoryReservation")
    if reserved is None or memory is None or reserved < memory:
        seen = f"{reserved or 0:g} of {memory or 0:g} MiB"
        yield f"{seen} are reserved; a passthrough device needs all"
    if inputs.get("memoryReservationLockedToMax") is not True:
        yield "the reservation is not locked; set memory_reservation_locked_to_max"


def _pinned(inputs: Inputs, _: bool) -> Iterator[str]:
    serves = bool(inputs.get("checkpoint") or inputs.get("image"))
    for key in ("checkpoint", "image"):
        value = str(inputs.get(key) or "")
        if serves and not DIGEST.fullmatch(value):
            yield f"{key} is {value or 'nothing'}; pin it as sha256:…"


def _gentle(inputs: Inputs, _: bool) -> Iterator[str]:
    if inputs.get("forcePowerOff") is not False:
        yield "power is cut when the guest does not stop in time; set force_power_off=False"


def _protected(inputs: Inputs, protect: bool) -> Iterator[str]:
    data = [
        str(disk.get("label") or disk.get("unitNumber"))
        for disk in inputs.get("disks") or ()
        if (disk.get("unitNumber") or SYSTEM_DISK) != SYSTEM_DISK or disk.get("keepOnRemove")
    ]
    if data and not protect:
        yield f"it holds data ({', '.join(data)}) and is not protected; set protect=True"


RULES = (
    Rule(
        "mandatory-rules",
        "Anti-affinity rules are mandatory and enabled.",
        frozenset({APART}),
        _mandatory,
    ),
    Rule(
        "mandatory-host-rules",
        "VM-host rules are mandatory, but for the edges', and enabled.",
        frozenset({VM_HOST}),
        _kept_in,
    ),
    Rule(
        "full-reservation",
        "A VM with a passthrough device has all its memory reserved, locked to its size.",
        frozenset({VM}),
        _reserved,
    ),
    Rule(
        "digest-pins",
        "Checkpoints and images are pinned by digest.",
        frozenset({CONVERGENCE}),
        _pinned,
    ),
    Rule(
        "no-force-power-off",
        "No VM loses its power because its guest takes its time.",
        frozenset({VM}),
        _gentle,
    ),
    Rule(
        "protected-data",
        "A VM that holds data is protected from deletion.",
        frozenset({VM}),
        _protected,
    ),
)
