"""The hypervisor's command line, called by the lab's vCenter at each power operation.

``python -m lab.hypervisor --instance DIR VERB NAME``; what the VM is comes as JSON on standard
input, what the guest is goes as JSON to standard output. Exit 0 done; 3 a guest did not shut down
in time; 4 failed, with the reason on standard error.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

from lab.errors import LabError
from lab.hypervisor import power
from lab.hypervisor.machine import Machine, Spec, machines
from lab.instance.model import Instance, load
from permafrost.errors import PermafrostError

VERBS = ("on", "off", "shutdown", "reset", "destroy", "list")
DID_NOT_STOP = 3


def act(instance: Instance, verb: str, name: str) -> tuple[int, object]:
    """Do one verb; return the exit status and what to print as JSON (None: nothing)."""
    if verb == "list":
        return 0, [
            {"name": m.name, "power": "on" if m.is_on else "off"} for m in machines(instance)
        ]
    machine = Machine(instance, name)
    if verb == "on":
        return 0, _on(machine, _spec(machine))
    if verb == "off":
        power.power_off(machine)
    elif verb == "destroy":
        power.destroy(machine)
    elif verb == "shutdown":
        return (0 if power.shut_down(machine) else DID_NOT_STOP), None
    elif verb == "reset":
        spec = _spec(machine)
        power.power_off(machine)
        return 0, _on(machine, spec)
    return 0, None


def _on(machine: Machine, spec: Spec) -> dict[str, object]:
    found = power.power_on(machine, spec)
    if found is None:
        return {"address": "", "prefix": 0, "gateway": "", "hostname": ""}
    return asdict(found)


def _spec(machine: Machine) -> Spec:
    text = "" if sys.stdin.isatty() else sys.stdin.read()
    if text.strip():
        try:
            return Spec.parse(json.loads(text))
        except ValueError as error:
            raise LabError(
                "HOOK_INPUT_INVALID",
                f"power-on input: {error}",
                "it is JSON: uuid, mac, host, memory_mib and more",
            ) from error
    recorded = machine.spec()
    if recorded is None:
        raise LabError(
            "HOOK_INPUT_INVALID",
            f"{machine.name}: nothing says what this VM is",
            "vCenter's hook gives it on standard input",
        )
    return recorded


def main(argv: list[str] | None = None) -> int:
    """Run one verb."""
    parser = argparse.ArgumentParser(prog="lab.hypervisor")
    parser.add_argument("--instance", type=Path, required=True)
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("name", nargs="?", default="")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        status, answer = act(load(options.instance), options.verb, options.name)
    except PermafrostError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_status)
    if answer is not None:
        sys.stdout.write(json.dumps(answer) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
