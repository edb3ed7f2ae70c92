"""Two versions of pulse in the lab's registry, and the site brought back to the first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.checkpoints import Layout, fine_tuned_pulse, fine_tuned_weights
from tests.acceptance.driver import ROOT, Cli

LABEL, CHANGED = "pulse:beside", 2


@dataclass(frozen=True)
class Versions:
    """The pulse that the lab deploys, and another one that its registry has too."""

    old: str
    new: str
    weights: Path

    @property
    def also(self) -> tuple[str, str]:
        """What the recorder is told of the other one."""
        return "--also", f"{self.new}={self.weights}"


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


def pulse(permafrost: Cli) -> dict[str, Any]:
    """Return the endpoint out of the site's status."""
    endpoints = permafrost.json("status")["endpoints"]
    found: dict[str, Any] = next(e for e in endpoints if e["name"] == "pulse")
    return found


def old_alone(permafrost: Cli, versions: Versions) -> None:
    """Whatever a scenario left: the old checkpoint serves alone again, from slot a."""
    for run in permafrost.json("history", "--limit", "5")["operations"]:
        if run["state"] in ("paused", "failed") and run["step"]:
            permafrost.run("abort", run["operation"], "--yes", expect=None, timeout=600)
    wanted = (versions.old, "a", None)
    if (found := _served(permafrost)) == wanted:
        return
    if found[0] != versions.old:
        permafrost.run("rollback", "pulse", "--allow-mixed", "--yes", timeout=600)
    permafrost.run("retire", "pulse", "--yes")
    assert _served(permafrost) == wanted


def _served(permafrost: Cli) -> tuple[Any, Any, Any]:
    found = pulse(permafrost)
    return found["live_checkpoint"], found["slot"], found["kept"]
