"""Two versions of a model in the lab's registry, and the site brought back to the first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.checkpoints import Layout, archived, fine_tuned_pulse, fine_tuned_weights
from tests.acceptance.driver import ROOT, Cli
from tests.acceptance.models import CHAT, Models, built

LABEL, CHANGED = "pulse:beside", 2


@dataclass(frozen=True)
class Versions:
    """What the lab deploys, and another one that its registry has too.

    ``told``: what says what the other one answers: weights of pulse, or a fingerprint's layout.
    """

    old: str
    new: str
    told: Path

    @property
    def also(self) -> tuple[str, str]:
        """What the recorder is told of the other one."""
        return "--also", f"{self.new}={self.told}"


def two_versions(site_file: Path, permafrost: Cli, folder: Path) -> Versions:
    """Make the second one out of the first, and push it.

    It is one that no other scenario makes, under a label of its own: whoever wants a checkpoint
    that the registry has not got yet finds it so, whatever ran before.
    """
    env = {**os.environ, "PERMAFROST_SITE": str(site_file), "PERMAFROST_MODELS": str(folder / "m")}
    models = Cli(ROOT / ".venv/bin/permafrost", env)
    old = str(pulse(permafrost)["live_checkpoint"])
    models.json("model", "pull", f"pulse@{old}", "--as", "pulse:1")
    layout = Layout(folder / "m" / "oci")
    new = fine_tuned_pulse(layout, old, LABEL, folder / "bundle.tar", flip=CHANGED)
    models.json("model", "import", str(folder / "bundle.tar"))
    models.json("model", "push", LABEL)
    weights = folder / "weights"
    weights.write_bytes(fine_tuned_weights(layout, old, CHANGED))
    return Versions(old, new, weights)


def two_of_chat(site_file: Path, permafrost: Cli, folder: Path) -> Versions:
    """Have the lab's registry hold a child of the language model: its weights quantised anew.

    It is built when it is first asked for, which takes a minute.
    """
    models = Models(site_file, folder / "chat")
    old = str(served(permafrost, "chat")["live_checkpoint"])
    models.do("pull", f"{CHAT}@{old}", "--as", f"{CHAT}:1")
    part, label, bundle = built("checkpoint-child"), f"{CHAT}:q4-0", folder / "child.tar"
    new = archived(part, label, bundle)
    models.do("import", str(bundle))
    bundle.unlink()
    models.do("push", label)
    return Versions(old, new, part / "oci")


def pulse(permafrost: Cli) -> dict[str, Any]:
    """Return the endpoint out of the site's status."""
    return served(permafrost, "pulse")


def served(permafrost: Cli, name: str) -> dict[str, Any]:
    """Return an endpoint out of the site's status."""
    endpoints = permafrost.json("status")["endpoints"]
    found: dict[str, Any] = next(e for e in endpoints if e["name"] == name)
    return found


def old_alone(permafrost: Cli, versions: Versions, name: str = "pulse") -> None:
    """Whatever a scenario left: an endpoint's old checkpoint serves alone again, from slot a."""
    for run in permafrost.json("history", "--limit", "5")["operations"]:
        if run["state"] in ("paused", "failed") and run["step"]:
            permafrost.run("abort", run["operation"], "--yes", expect=None, timeout=600)
    wanted = (versions.old, "a", None)
    if (found := _slots(permafrost, name)) == wanted:
        return
    if found[0] != versions.old:
        permafrost.run("rollback", name, "--allow-mixed", "--yes", timeout=600)
    permafrost.run("retire", name, "--yes", timeout=600)
    assert _slots(permafrost, name) == wanted


def _slots(permafrost: Cli, name: str) -> tuple[Any, Any, Any]:
    found = served(permafrost, name)
    return found["live_checkpoint"], found["slot"], found["kept"]
