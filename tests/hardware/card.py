"""The card of this machine, models of stated shapes on it, and what was seen of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import torch
import transformers

from permafrost.planning.gpus import GPUS, GpuKind

PCI = Path("/sys/bus/pci/devices")
TOLD: dict[str, Any] = {}
"""What was seen, by its name: the evidence of a run."""


def smi(field: str) -> str:
    """Return a field that the driver tells of the first card."""
    argv = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", "--id=0"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def pci_id(device: Path) -> str:
    """Return vendor and device as sites write them."""
    both = [
        (device / name).read_text().strip().removeprefix("0x") for name in ("vendor", "device")
    ]
    return ":".join(both)


def device() -> tuple[Path, str, GpuKind]:
    """Return the first card's place in sysfs, its PCI id and what the table says of it."""
    address = smi("pci.bus_id").lower()
    found = next(d for d in PCI.iterdir() if address.endswith(d.name.lower()))
    name = pci_id(found)
    return found, name, GPUS[name]


def model_of(facts: dict[str, Any], seed: int = 0) -> Any:
    """Return a model of a shape on the card, with weights that follow from the seed."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(**facts, dtype=torch.bfloat16)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            return transformers.LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)
