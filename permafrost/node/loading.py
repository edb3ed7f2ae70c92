"""Load a checkpoint into a slot beside the one that serves, and unload it again.

Order of a load: bytes fetched and verified, the slot's configuration and its file, the book of
what the slot had before, the name that answers of this slot carry, then the server. Its start
verifies every byte once more and its gate proves it; nobody is sent there before. Cut anywhere,
the same command goes on. A slot that is loaded is never given another checkpoint: it is unloaded
first. Where both do not fit a machine, one slot is exchanged for the other: bytes first, while
the old one may still serve, then its server ends, then the new one begins.

Order of an unload: the slot's file goes, so that no start of the machine loads it again; its
server ends; no answer carries its name; its configuration names nothing. Cut anywhere, the slot is
empty, and the same command, a load or an exchange goes on.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

from . import pull, served, serving_class, slots
from .errors import NodeError
from .registry import RegistryReader
from .roots import Roots
from .settings import Settings
from .store import ModelStore

HAPROXY = ("/usr/local/sbin/permafrost-haproxy", "--slots")
SYSTEMCTL = "/usr/bin/systemctl"
RUN_S = 60.0
STOP_S = 90.0


class Machine:
    """What a load does to the machine besides its files."""

    def start(self, slot: str) -> None:
        """Begin to start a slot's server; whether it comes up is the gate's to say."""
        self._run(SYSTEMCTL, "reset-failed", _unit(slot), must=False)
        self._run(SYSTEMCTL, "start", "--no-block", _unit(slot))

    def stop(self, slot: str) -> None:
        """Stop a slot's server; done when it has ended.

        One that was stopped while it started has not failed: the machine is not to say so.
        """
        self._run(SYSTEMCTL, "stop", _unit(slot), deadline_s=STOP_S)
        self._run(SYSTEMCTL, "reset-failed", _unit(slot), must=False)

    def label(self, loaded: dict[str, str]) -> None:
        """Tell the node's HAProxy, in file and runtime, which checkpoint each slot has."""
        self._run(*HAPROXY, stdin=json.dumps(loaded))

    def _run(
        self, *command: str, stdin: str = "", deadline_s: float = RUN_S, must: bool = True
    ) -> None:
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=deadline_s,
                check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NodeError(
                "SLOT_COMMAND_FAILED",
                f"{command[0]}: {error}",
                "`permafrost converge` installs what the service calls",
            ) from error
        if must and done.returncode != 0:
            said = done.stderr.strip()[-300:]
            raise NodeError(
                "SLOT_COMMAND_FAILED",
                f"{' '.join(command)}: {said}",
                "`journalctl -u permafrost-node` says more",
            )


def fetch(told: Settings, checkpoint: str, registry: RegistryReader) -> dict[str, Any]:
    """Make a checkpoint and its fingerprint present; every file is verified while it comes."""
    return pull.pull(
        checkpoint,
        ModelStore(told.models_dir),
        registry,
        told.fingerprint_of(checkpoint),
        lambda: serving_class.of_checkpoint(told, checkpoint),
        told.baseline_signers,
    )


def load(
    told: Settings, slot: str, checkpoint: str, registry: RegistryReader, machine: Machine
) -> dict[str, Any]:
    """Have a slot load a checkpoint. Refused (SLOT_TAKEN) where it is to load another one."""
    before = slots.loaded(told).get(slot, "")
    if before not in ("", checkpoint):
        raise NodeError(
            "SLOT_TAKEN",
            f"slot {slot} is to load {before}",
            f"permafrost-node unload {slot} first, once nobody is sent there",
        )
    fetched = fetch(told, checkpoint, registry)
    if not before:
        machine.stop(slot)  # what a cut unload left running has other bytes loaded
    changed = slots.configure(told, slot, checkpoint)
    Roots(ModelStore(told.models_dir)).switch(slot, checkpoint, served.last(told.served_dir, slot))
    machine.label(slots.loaded(told))
    machine.start(slot)
    return {**fetched, "slot": slot, "changed": bool(fetched["changed"] or changed)}


def exchange(
    told: Settings, slot: str, checkpoint: str, registry: RegistryReader, machine: Machine
) -> dict[str, Any]:
    """Have a slot load a checkpoint instead of every other slot: they never run side by side."""
    before = slots.loaded(told).get(slot, "")
    if before not in ("", checkpoint):
        raise NodeError(
            "SLOT_TAKEN", f"slot {slot} is to load {before}", "it is the one that is kept"
        )
    fetch(told, checkpoint, registry)
    for other in sorted(set(told.slots) - {slot}):
        slots.empty(told, other)
        machine.stop(other)
        slots.clear(told, other)
    return load(told, slot, checkpoint, registry, machine)


def unload(told: Settings, slot: str, machine: Machine) -> dict[str, Any]:
    """Have a slot load nothing. Its bytes stay: they are its way back until it loads others."""
    loaded = slots.loaded(told)
    if slot in loaded and len(loaded) == 1:
        raise NodeError(
            "SLOT_TAKEN",
            f"slot {slot} is the only one that is loaded here",
            "load another one first: a replica keeps one",
        )
    changed = slots.empty(told, slot)
    machine.stop(slot)
    machine.label(slots.loaded(told))
    changed = slots.clear(told, slot) or changed
    return {"schema": 1, "changed": changed, "slot": slot, "checkpoint": ""}


def _unit(slot: str) -> str:
    return f"triton-{slot}.service"
