"""What decides tokens on this node beside the checkpoint's bytes: its serving class.

Told by the convergence: image, parallelism, batch settings. Read on the machine: the GPU with its
driver, else the processor. Read from the checkpoint: its precision.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from .documents import json_object
from .errors import NodeError
from .settings import Settings
from .store import ModelStore

_NVIDIA = Path("/proc/driver/nvidia")
_CPU = Path("/proc/cpuinfo")
_RELEASE = re.compile(r"\b\d{3,}\.\d+(\.\d+)?\b")


def observed(settings: Settings, *, nvidia: Path = _NVIDIA, cpu: Path = _CPU) -> dict[str, Any]:
    """Return the class in the form in which fingerprints carry it."""
    gpu, driver = _accelerator(nvidia, cpu)
    told = settings.serving
    return {
        "engine_image": str(told.get("engine_image", "")),
        "precision": _precision(ModelStore(settings.models_dir), settings.checkpoint),
        "gpu": gpu,
        "driver": driver,
        "parallelism": str(told.get("parallelism", "")),
        "batch": {str(k): str(v) for k, v in sorted(told.get("batch", {}).items())},
    }


def of_checkpoint(settings: Settings, checkpoint: str) -> dict[str, Any]:
    """Return the class that the node has when it serves another checkpoint."""
    return observed(replace(settings, checkpoint=checkpoint))


def _accelerator(nvidia: Path, cpu: Path) -> tuple[str, str]:
    models = [
        value
        for file in sorted(nvidia.glob("gpus/*/information"))
        for value in _values(file, "Model")
    ]
    if models:
        return ", ".join(models), _driver((nvidia / "version").read_text(encoding="utf-8"))
    names = _values(cpu, "model name")
    return (f"none; {names[0]}" if names else "none"), "none"


def _driver(text: str) -> str:
    """Return the driver's release and flavour out of ``/proc/driver/nvidia/version``.

    The rest of that line says when, where and by whom the module was built: two nodes that build
    the same release by DKMS differ there, and their class is the same.
    """
    line = text.splitlines()[0] if text else ""
    release = _RELEASE.search(line)
    if release is None:
        return line.partition(":")[2].strip()
    return f"{release[0]}, open kernel module" if "Open Kernel" in line else release[0]


def _values(file: Path, wanted: str) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [value.strip() for name, _, value in pairs if name.strip() == wanted]


def _precision(store: ModelStore, checkpoint: str) -> str:
    """Return the precision that the checkpoint says it has, empty where it says none."""
    try:
        content = store.blob(str(store.config_digest(checkpoint))).read_bytes()
        facts = json_object(content, "NOT_A_CHECKPOINT", "its config").get("config")
    except (NodeError, OSError):
        return ""
    if not isinstance(facts, dict):
        return ""
    return str(facts.get("quantization") or facts.get("precision") or "")
