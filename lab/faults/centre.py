"""Faults of the lab's own servers: vCenter, registry, package source gone, hung or slow."""

from __future__ import annotations

from pathlib import Path

from lab.errors import LabError
from lab.faults.model import Options, Undo, number, one_of
from lab.instance.model import Instance
from lab.services import admin, packages, registry, vcenter
from lab.services.daemon import Daemon


def prepare(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Note the program that runs. Raises LabError when the server does not run."""
    mode = one_of(options, "mode", "killed", "hung")
    group = instance.service_group(target)
    for pid in group.processes():
        try:
            argv = (Path("/proc") / str(pid) / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue  # a hook of vCenter that has just ended
        if target == "vcenter" and "-config" in argv:
            return {"mode": mode, "program": argv[0]}
        if target == "packages" and "lab.services.packages_server" in argv:
            return {"mode": mode, "program": argv[-2]}
        if target == "registry" and "serve" in argv:
            return {"mode": mode, "program": argv[0]}
    raise LabError("SERVICE_IS_DOWN", f"{target} does not run", "run permafrost-lab up")


def daemon(instance: Instance, target: str, program: str) -> Daemon:
    """Return one of the lab's servers as it was started."""
    match target:
        case "vcenter":
            return vcenter.daemon(instance, Path(program))
        case "registry":
            return registry.daemon(instance)
        case _:
            return packages.daemon(instance, Path(program))


def away(instance: Instance, target: str, undo: Undo) -> None:
    """End the server by SIGKILL, or let it accept and never answer."""
    group = instance.service_group(target)
    if undo["mode"] == "hung":
        group.freeze(on=True)
    elif not group.kill():
        raise LabError(
            "SERVICE_DOES_NOT_DIE",
            f"{target} still has processes",
            "wait, then heal the fault; `permafrost-lab status` shows what runs",
        )


def back(instance: Instance, target: str, undo: Undo) -> None:
    """Let the server go on, or start it again, and await its answer."""
    instance.service_group(target).freeze(on=False)
    daemon(instance, target, undo["program"]).ensure()


def prepare_slow(instance: Instance, target: str, options: Options) -> dict[str, str]:
    """Check that it is vCenter, that it runs, and how slow it shall be."""
    seconds = number(options, "seconds", 0.01, 600)
    if target != "vcenter":
        raise LabError("TARGET_INVALID", f"{target} cannot be slow", "TARGET is vcenter")
    prepare(instance, target, {"mode": "killed"})
    return {"seconds": str(seconds)}


def slow(instance: Instance, target: str, undo: Undo) -> None:
    """Let each call of the API take so much longer."""
    del target
    admin.slow_vcenter(instance, float(undo["seconds"]))


def quicken(instance: Instance, target: str, undo: Undo) -> None:
    """Let it answer at once; one that was started again meanwhile does so already."""
    del undo
    if instance.service_group(target).populated:
        admin.slow_vcenter(instance, 0)
