"""One VM of a world, and its second slot."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Beside:
    """A slot beside the first one, with what it is to load."""

    checkpoint: str
    state: str = "STARTING"
    requests: list[float] = field(default_factory=list)


@dataclass
class Machine:
    """One VM and what runs in it."""

    name: str
    host: str
    gpus: tuple[str, ...] = ()
    is_on: bool = True
    state: str = "ADMITTED"
    passes_probe: bool = True
    checkpoint: str = ""
    boot_s: float = 0.0
    is_reserved: bool = True
    is_marked: bool = True
    """Whether it bears the site's tag and custom attributes."""
    overrides: tuple[str, str] | None = None
    """Its own DRS automation and HA restart priority; None: as a deployment leaves them."""
    requests: list[float] = field(default_factory=list)
    idle_streams: int = 0
    stream_bytes: int = 0
    """What has moved on each of them so far."""
    beside: Beside | None = None
    """Slot b; the machine's own state and checkpoint are those of slot a."""
    has_first: bool = True
    """Whether slot a is to load something."""
    home: str = field(init=False)
    """Where it was placed: in the rack of that host it is kept, if it may move."""

    def __post_init__(self) -> None:
        self.home = self.host
