"""``down`` leaves nothing, whatever crashed before: no link, mount, group, wall, process, file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from lab.build import parts
from lab.faults import apply as faults
from lab.hypervisor import guest, power
from lab.hypervisor.machine import Machine, Spec
from lab.instance.allocate import ensure_instance
from lab.instance.model import CHECKOUT, save
from lab.instance.up import set_base_image
from lab.services import registry
from lab.testrun.ownlab import owned
from tests.contract.lab.bench import clean, leftovers, until


def test_down_after_every_kind_of_crash_leaves_nothing() -> None:
    root = CHECKOUT / ".lab" / f"d{os.getpid() % 0xFFFFF:05x}"
    with owned(root.name):
        _crash_and_remove(root)


def _crash_and_remove(root: Path) -> None:
    instance = ensure_instance(root)
    try:
        set_base_image(instance, parts.path("base-image") / "rootfs")
        registry.ensure(instance)
        nodes = [Machine(instance, f"lab-d{n}") for n in range(4)]
        for n, node in enumerate(nodes[:3]):
            power.start(node, Spec(f"42000000-0000-4000-8000-00000000000{n}",
                                   f"00:50:56:00:01:0{n}", "lab-esx-01", 256))  # fmt: skip
        for node in nodes[:3]:
            until("it boots", lambda node=node: guest.nspawn_pid(node))
        faults.apply(instance, "network-relay", "lab-d0:lab-d1", {"delay_ms": "5"})
        faults.apply(instance, "machine-cut", "lab-d2", {})
        until("its system is there", lambda: _covers(nodes[0]))
        orphan = guest.nspawn_pid(nodes[1])
        assert orphan is not None
        os.kill(orphan, signal.SIGKILL)
        nodes[2].group.freeze(on=True)
        _start_and_kill(nodes[3])
        instance.service_group("registry").freeze(on=True)
        assert len(leftovers(root)) > 5, "there is something to remove"
        (root / "lab.json").unlink()  # half removed already
        clean(root)
        clean(root)  # and again: nothing is there to remove
    finally:
        if root.exists():
            save(instance)
            clean(root)


def _covers(node: Machine) -> bool:
    from lab.errors import LabError

    try:
        faults.apply(node.instance, "disk-full", node.name, {"path": "/var/lib/permafrost"})
    except LabError:
        return False
    return True


def _start_and_kill(node: Machine) -> None:
    """Kill a power-on the moment its machine has processes."""
    spec = Spec("42000000-0000-4000-8000-000000000009", "00:50:56:00:01:09", "lab-esx-01", 256)
    argv = [sys.executable, "-m", "lab.hypervisor", "--instance", str(node.instance.root)]
    hook = subprocess.Popen(
        [*argv, "on", node.name], stdin=subprocess.PIPE, cwd=CHECKOUT, text=True
    )
    assert hook.stdin
    hook.stdin.write(json.dumps(asdict(spec)))
    hook.stdin.close()
    until("it has processes", lambda: node.is_on)
    hook.kill()
    hook.wait(10)
