"""The recorded placement: which host and which devices each node has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one node stands. ``gpus`` are PCI addresses on that host."""

    host: str
    host_moid: str
    gpus: tuple[str, ...] = ()


class Placement(Mapping[str, Slot]):
    """Node name to slot; never changes."""

    def __init__(self, slots: Mapping[str, Slot] | None = None) -> None:
        self._slots = MappingProxyType(dict(sorted((slots or {}).items())))

    def __getitem__(self, node: str) -> Slot:
        return self._slots[node]

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def __hash__(self) -> int:
        return hash(tuple(self._slots.items()))

    def __repr__(self) -> str:
        return f"Placement({dict(self._slots)!r})"

    def as_dict(self) -> dict[str, dict[str, object]]:
        """Return plain values for JSON."""
        return {
            node: {"host": s.host, "host_moid": s.host_moid, "gpus": list(s.gpus)}
            for node, s in self._slots.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, object]]) -> Placement:
        """Return the placement of what ``as_dict`` gave."""
        return cls(
            {
                node: Slot(str(v["host"]), str(v["host_moid"]), _addresses(v["gpus"]))
                for node, v in values.items()
            }
        )


def _addresses(value: object) -> tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, (list, tuple)) else ()
