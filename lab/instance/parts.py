"""What a lab is made from: the built parts, by folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.build import parts


@dataclass(frozen=True, slots=True)
class Parts:
    """Folders of built parts."""

    base_image: Path
    packages: Path
    vcenter: Path
    pulumi: Path
    image_triton: Path
    checkpoints: dict[str, Path]
    images: dict[str, Path]
    """Those that only some sites need, by repository."""


def built(endpoints: tuple[str, ...], images: tuple[str, ...] = ()) -> Parts:
    """Return the parts of this checkout, building those that are missing."""
    return Parts(
        base_image=parts.path("base-image") / "rootfs",
        packages=parts.path("packages"),
        vcenter=parts.path("vcenter") / "bin" / "labvcenter",
        pulumi=parts.path("pulumi") / "bin" / "pulumi",
        image_triton=parts.path("image-triton"),
        checkpoints={name: parts.path(f"checkpoint-{name}") for name in endpoints},
        images={name: parts.path(f"image-{name}") for name in images},
    )
