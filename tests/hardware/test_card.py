"""The tables and the serving class, against the card and its driver."""

from __future__ import annotations

from pathlib import Path

import torch

from permafrost.node import serving_class
from permafrost.planning.gpu_memory import GIB
from permafrost.planning.gpus import mmio_gib
from tests.hardware.card import TOLD, device, smi

IS_MEMORY = 0x200
"""The kernel's mark of a region of memory, ``IORESOURCE_MEM``."""


def test_the_serving_class_names_card_and_driver() -> None:
    gpu, driver = serving_class._accelerator(Path("/proc/driver/nvidia"), Path("/proc/cpuinfo"))
    TOLD["serving_class"] = {"gpu": gpu, "driver": driver}
    root = Path("/proc/driver/nvidia")
    TOLD["proc"] = {
        str(f): f.read_text() for f in [root / "version", *root.glob("gpus/*/information")]
    }
    assert gpu == smi("name")
    assert driver.partition(",")[0] == smi("driver_version")


def test_bars_and_address_space_are_those_of_the_table() -> None:
    card, name, kind = device()
    lines = [
        [int(n, 16) for n in line.split()] for line in (card / "resource").read_text().splitlines()
    ]
    bars = [end - start + 1 for start, end, flags in lines if flags & IS_MEMORY][:3]
    TOLD["pci"] = {"id": name, "bars_mib": [b >> 20 for b in bars], "kind": kind.name}
    TOLD["mmio_gib"] = {"card": 1, "needed": mmio_gib(kind, 1)}
    assert tuple(b >> 20 for b in bars) == kind.bars_mib
    assert sum(bars) <= mmio_gib(kind, 1) * GIB


def test_memory_is_that_of_the_table() -> None:
    _, _, kind = device()
    free, total = torch.cuda.mem_get_info()
    TOLD["memory"] = {
        "smi_mib": int(smi("memory.total")), "cuda_total": total, "cuda_free": free,
        "table_gib": kind.memory_gib,
    }  # fmt: skip
    assert total <= kind.memory_gib * GIB
