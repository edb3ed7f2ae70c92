"""The virtual address of the edges moved to another one, by their own keepalived."""

from __future__ import annotations

import json
from contextlib import suppress

from lab.errors import LabError
from lab.faults import targets
from lab.faults.model import Options, Undo
from lab.hypervisor.machine import Machine, machines
from lab.instance.model import Instance
from lab.instance.waiting import wait_until

UNIT = "keepalived.service"
MOVE_TIMEOUT_S = 15.0


def prepare(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Check that the machine holds a virtual address and that another one can take it."""
    del options
    node = targets.running_machine(instance, target)
    peers = [m.name for m in machines(instance) if m.is_on and m != node and _is_active(m)]
    if not _is_active(node) or not peers:
        raise LabError(
            "VIP_ABSENT",
            f"no virtual address can move away from {target}: "
            + ("no other machine" if _is_active(node) else "it does not")
            + " run keepalived",
            "this fault needs a site with two edges",
        )
    held = held_addresses(node)
    if not held:
        raise LabError(
            "VIP_ELSEWHERE",
            f"{target} holds no virtual address now",
            f"try {', '.join(peers)}",
        )
    return {"held": ",".join(held), "peers": ",".join(peers)}


def move(instance: Instance, target: str, undo: Undo) -> None:
    """Stop keepalived where the address is; wait until another machine holds it."""
    targets.inside(Machine(instance, target), "systemctl", "stop", UNIT)
    peers = [Machine(instance, name) for name in undo["peers"].split(",")]
    wanted = set(undo["held"].split(","))

    def moved() -> bool:
        return wanted <= {a for peer in peers for a in held_addresses(peer)}

    if not wait_until(moved, MOVE_TIMEOUT_S, 0.1):
        raise LabError(
            "VIP_DID_NOT_MOVE",
            f"nobody took {undo['held']} in {MOVE_TIMEOUT_S:.0f} s",
            "look at `journalctl -u keepalived` on the other edge",
        )


def back(instance: Instance, target: str, undo: Undo) -> None:
    """Start keepalived again; whether the address returns is its configuration's matter."""
    del undo
    node = Machine(instance, target)
    if node.is_on:
        targets.inside(node, "systemctl", "start", UNIT)


def _is_active(node: Machine) -> bool:
    with suppress(LabError):
        targets.inside(node, "systemctl", "is-active", "--quiet", UNIT)
        return True
    return False


def held_addresses(node: Machine) -> list[str]:
    """Return the virtual addresses a machine holds: those that keepalived added to its own.

    It adds them alone (``/32``), or in the subnet of the machine's own, where they are secondary.
    """
    with suppress(LabError, ValueError):
        links = json.loads(targets.inside(node, "ip", "-json", "-4", "address", "show", "host0"))
        found = [info for link in links for info in link.get("addr_info", [])]
        return [a["local"] for a in found if a["prefixlen"] == 32 or a.get("secondary")]
    return []
