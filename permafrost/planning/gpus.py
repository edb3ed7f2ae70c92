"""GPUs by PCI id: their memory, and the address space that their registers and memory need.

vCenter shows a device's ids and not its BARs, so both stand here. PCI ids are those of the PCI ID
Repository (pci-ids.ucw.cz); memory is the vendor's data sheet, or what ``nvidia-smi`` shows; BARs
are what ``lspci -v`` or a kernel's log shows of the card, whose place is named with each.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB_PER_GIB = 1024


@dataclass(frozen=True, slots=True)
class GpuKind:
    """One kind of accelerator. ``memory_gib`` is usable device memory, ``bars_mib`` each BAR."""

    name: str
    memory_gib: int
    bars_mib: tuple[int, ...]
    source: str


def _bars(large_gib: int) -> tuple[int, ...]:
    """Registers (16 MiB), the whole memory, and the small third region (32 MiB)."""
    return (16, large_gib * MIB_PER_GIB, 32)


_HOPPER = "GH100 as lspci shows it: fastfetch-cli/fastfetch#1658"
_AMPERE = "GA100 as the kernel logs it: kata-containers/kata-containers#4358"
_SEEN = "read in a VM that has it: docs/evidence"
_SHEET = "data sheet; BAR1 covers the memory, rounded up to a power of two"

GPUS: dict[str, GpuKind] = {
    "10de:1db4": GpuKind("V100 PCIe 16GB", 16, _bars(16), _SHEET),
    "10de:1db6": GpuKind("V100 PCIe 32GB", 32, _bars(32), _SHEET),
    "10de:20b0": GpuKind("A100 SXM4 40GB", 40, _bars(64), _AMPERE),
    "10de:20b2": GpuKind("A100 SXM4 80GB", 80, _bars(128), _SHEET),
    "10de:20b5": GpuKind("A100 PCIe 80GB", 80, _bars(128), _SHEET),
    "10de:20f1": GpuKind("A100 PCIe 40GB", 40, _bars(64), _AMPERE),
    "10de:2321": GpuKind("H100 NVL 94GB", 94, _bars(128), _SHEET),
    "10de:2330": GpuKind("H100 SXM5 80GB", 80, _bars(128), _SEEN),
    "10de:2331": GpuKind("H100 PCIe 80GB", 80, _bars(128), _HOPPER),
    "10de:2335": GpuKind("H200 SXM 141GB", 140, _bars(256), _SEEN),
    "10de:26b9": GpuKind("L40S 48GB", 48, _bars(64), _SHEET),
    "10de:27b8": GpuKind("L4 24GB", 24, _bars(32), _SHEET),
}


def mmio_gib(kind: GpuKind, count: int) -> int:
    """Return what ``pciPassthru.64bitMMIOSizeGB`` must be at least for ``count`` devices, in GiB.

    The sum of all BARs, rounded up to a power of two (VMware: VMDirectPath I/O with large BARs).
    """
    total_mib = count * sum(kind.bars_mib)
    size = 1
    while size * MIB_PER_GIB < total_mib:
        size *= 2
    return size
