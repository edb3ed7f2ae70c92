"""Cards that a host shares out as vGPUs."""

from __future__ import annotations

from permafrost.planning.snapshot import GraphicsCard

L40S = tuple(f"grid_l40s-{gib}c" for gib in (4, 6, 8, 12, 16, 24, 48))


def cards(
    count: int, *users: tuple[str, str], name: str = "NVIDIA L40S", shared: bool = True
) -> tuple[GraphicsCard, ...]:
    """Return cards of one kind; ``users`` are on the first."""
    return tuple(
        GraphicsCard(f"0000:{0xA0 + i:02x}:00.0", name, shared, users if i == 0 else ())
        for i in range(count)
    )
