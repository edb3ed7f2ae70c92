"""Faults of one systemd unit of a machine, made from inside its namespaces or at its group."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from lab.errors import LabError
from lab.faults import targets
from lab.faults.model import Options, Undo, number, one_of
from lab.hypervisor import guest
from lab.hypervisor.machine import Machine
from lab.instance.cgroups import Cgroup, unified_root
from lab.instance.model import CHECKOUT, Instance
from lab.instance.naming import short_hash
from lab.services.daemon import Daemon

BALANCER = "haproxy.service"
RUNTIME = "/run/systemd/system"


STAY_DOWN = "[Unit]\nAssertPathExists=!/\n[Service]\nRestart=no\n"
"""Keeps a unit from being started by anybody, and by systemd itself: that asks no assertion where
it starts one again that has failed."""


def _drop_in(unit: str) -> str:
    # A mask would not do: it does not cover a unit that lies in /etc.
    return f"{RUNTIME}/{unit}.d/90-permafrost-lab.conf"


def prepare(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Check that the unit is loaded; nothing else is needed to heal."""
    targets.loaded_unit(instance, target)
    return dict(options)


def stop(instance: Instance, target: str, undo: Undo) -> None:
    """Stop the unit as an administrator would."""
    del undo
    _systemctl(instance, target, "stop")


def start(instance: Instance, target: str, undo: Undo) -> None:
    """Start the unit; where its own restart policy has done so nothing changes."""
    del undo
    name, _, unit = target.partition(":")
    node = Machine(instance, name)
    if not node.is_on:
        return  # it starts with its machine
    if targets.inside(node, "find", RUNTIME, "-path", _drop_in(unit)).strip():
        targets.inside(node, "rm", "-f", _drop_in(unit))
        targets.inside(node, "systemctl", "daemon-reload")
    if targets.load_state(node, unit) == "not-found":
        return  # a transient unit goes with its process
    with suppress(LabError):
        targets.inside(node, "systemctl", "reset-failed", unit)
    targets.inside(node, "systemctl", "start", unit)


def prepare_kill(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Check the unit and whether it may come back by itself."""
    one_of(options, "stay_down", "yes", "no")
    return prepare(instance, target, options)


def kill(instance: Instance, target: str, undo: Undo) -> None:
    """End every process of the unit by SIGKILL; with ``stay_down=yes`` nothing restarts it."""
    node, unit = targets.unit(instance, target)
    if undo.get("stay_down") == "yes":
        drop_in = _drop_in(unit)
        targets.inside(node, "mkdir", "-p", drop_in.rpartition("/")[0])
        targets.inside(node, "tee", drop_in, stdin=STAY_DOWN)
        targets.inside(node, "systemctl", "daemon-reload")
    _systemctl(instance, target, "kill", "--signal=SIGKILL")


def prepare_balancer(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Check that the machine runs a balancer."""
    targets.running_machine(instance, target)
    try:
        undo = prepare_kill(instance, f"{target}:{BALANCER}", options)
        prepare_hang(instance, f"{target}:{BALANCER}", {})  # one that is installed may be off
        return undo
    except LabError as error:
        if error.code not in ("UNIT_UNKNOWN", "UNIT_IS_NOT_RUNNING"):
            raise
        raise LabError(
            "BALANCER_ABSENT", f"{target} runs no HAProxy", "choose an edge or a replica"
        ) from error


def kill_balancer(instance: Instance, target: str, undo: Undo) -> None:
    """End the machine's HAProxy by SIGKILL."""
    kill(instance, f"{target}:{BALANCER}", undo)


def start_balancer(instance: Instance, target: str, undo: Undo) -> None:
    """Start the machine's HAProxy where it does not run."""
    start(instance, f"{target}:{BALANCER}", undo)


def prepare_hang(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Find the unit's control group. Raises LabError when it has no processes."""
    del options
    node, unit = targets.loaded_unit(instance, target)
    group = unit_group(node, unit)
    if not group.populated:
        raise LabError(
            "UNIT_IS_NOT_RUNNING",
            f"{unit} of {node.name} has no processes",
            "start it first: `systemctl start` there",
        )
    return {"group": str(group.path)}


def hang(instance: Instance, target: str, undo: Undo) -> None:
    """Stop every process of the unit: the kernel still accepts connections, nobody answers."""
    del instance, target
    Cgroup(Path(undo["group"])).freeze(on=True)


def wake(instance: Instance, target: str, undo: Undo) -> None:
    """Let the unit go on."""
    del instance, target
    Cgroup(Path(undo["group"])).freeze(on=False)


def prepare_slow(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Find the unit's control group and check how slow it shall be."""
    share = number(options, "share", 0.01, 0.99)
    period_ms = number(options, "period_ms", 10, 60_000)
    found = prepare_hang(instance, target, {})
    return {**found, "share": str(share), "period_ms": str(period_ms)}


def slow(instance: Instance, target: str, undo: Undo) -> None:
    """Let the unit stand still for a share of every period."""
    _throttle(instance, target, undo).ensure()


def quicken(instance: Instance, target: str, undo: Undo) -> None:
    """End the throttle and let the unit go on."""
    throttle = _throttle(instance, target, undo)
    throttle.stop()
    throttle.group.remove()
    Cgroup(Path(undo["group"])).freeze(on=False)


def _throttle(instance: Instance, target: str, undo: Undo) -> Daemon:
    program = (sys.executable, "-m", "lab.faults.throttle")
    argv = [*program, undo["group"], undo["share"], undo["period_ms"]]
    env = {"PYTHONPATH": str(CHECKOUT)}
    return Daemon(instance, f"throttle-{short_hash(target)}", argv=argv, env=env)


def unit_group(node: Machine, unit: str) -> Cgroup:
    """Return the control group of a unit as this Linux machine sees it."""
    init = guest.init_pid(node)
    shown = targets.inside(node, "systemctl", "show", "--property=ControlGroup", "--value", unit)
    if init is None or not shown.strip():
        raise LabError(
            "UNIT_IS_NOT_RUNNING",
            f"{unit} of {node.name} has no processes",
            "start it first: `systemctl start` there",
        )
    lines = (Path("/proc") / str(init) / "cgroup").read_text().splitlines()
    own = next(line for line in lines if line.startswith("0::"))[3:]
    top = own.removesuffix("/init.scope")
    return Cgroup(unified_root() / top.strip("/") / shown.strip().strip("/"))


def _systemctl(instance: Instance, target: str, verb: str, *options: str) -> None:
    node, unit = targets.unit(instance, target)
    targets.inside(node, "systemctl", verb, *options, unit)
