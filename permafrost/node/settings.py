"""The node's settings, written by the convergence to /etc/permafrost/node.json."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import NodeError

DEFAULT_FILE = Path("/etc/permafrost/node.json")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Registry:
    """Where checkpoints come from."""

    url: str
    repository: str
    username: str
    password_file: Path
    ca_file: Path


@dataclass(frozen=True)
class SlotPorts:
    """One Triton's ports on the loopback address."""

    http: int
    metrics: int


@dataclass(frozen=True)
class Settings:
    """Everything that the node was told, seen from one slot.

    ``checkpoint``: what that slot is to load, empty where it is to load nothing. Which one that
    is stands beside the slot and not here: it changes while the node serves (``slots``).
    """

    node: str
    model_name: str
    slot: str
    checkpoint: str
    registry: Registry
    slots: dict[str, SlotPorts]
    models_dir: Path
    slots_dir: Path
    counters_dir: Path
    fingerprint_file: Path
    control_socket: Path
    health_port: int
    served_dir: Path
    serving: dict[str, Any] = field(default_factory=dict)
    """Image, parallelism and batch settings: the told half of the serving class."""
    baseline_signers: dict[str, str] | None = None
    """Name → PEM of who may sign a fingerprint; None where the site demands no signature."""
    source: Path = DEFAULT_FILE
    """The file that says all this."""

    @property
    def ports(self) -> SlotPorts:
        """The ports of this slot."""
        return self.slots[self.slot]

    @property
    def counters_file(self) -> Path:
        """What this slot's backend counts."""
        return self.counters_dir / self.slot / "counters"

    def fingerprint_of(self, checkpoint: str) -> Path:
        """Where the behaviour is kept that a checkpoint has to show on this node."""
        short = checkpoint.removeprefix("sha256:")[:16]
        return self.fingerprint_file.with_name(f"{self.fingerprint_file.stem}-{short}.json")


def load(path: Path) -> Settings:
    """Read the settings. Raises NodeError naming what is wrong."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        return _settings(given, path)
    except OSError as error:
        raise NodeError(
            "SETTINGS_MISSING", f"{path}: {error.strerror}", "`permafrost converge` writes it anew"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise NodeError(
            "SETTINGS_INVALID", f"{path}: {error}", "`permafrost converge` writes it anew"
        ) from error


def check_digest(digest: str) -> str:
    """Return a digest's hex part. Raises NodeError where it is none."""
    if DIGEST.fullmatch(digest) is None:
        raise NodeError(
            "DIGEST_INVALID",
            f"{digest!r} is not sha256:<64 hex digits>",
            "copy the whole digest from models.lock or the site file",
        )
    return digest.removeprefix("sha256:")


def _settings(given: dict[str, Any], source: Path) -> Settings:
    registry = given["registry"]
    slots = {
        name: SlotPorts(int(ports["http"]), int(ports["metrics"]))
        for name, ports in given["triton"].items()
    }
    slot, checkpoint = str(given.get("slot", "a")), str(given.get("checkpoint", ""))
    if slot not in slots:
        raise ValueError(f"slot {slot} has no ports")
    if checkpoint and DIGEST.fullmatch(checkpoint) is None:
        raise ValueError("checkpoint is not a digest")
    return Settings(
        node=str(given["node"]),
        model_name=str(given.get("model_name") or given["endpoint"]),
        slot=slot,
        checkpoint=checkpoint,
        registry=Registry(
            url=str(registry["url"]),
            repository=str(registry["repository"]),
            username=str(registry["username"]),
            password_file=Path(registry["password_file"]),
            ca_file=Path(registry["ca_file"]),
        ),
        slots=slots,
        models_dir=Path(given.get("models_dir", "/var/lib/permafrost/models")),
        slots_dir=Path(given.get("slots_dir", "/var/lib/permafrost/slots")),
        counters_dir=Path(given.get("counters_dir", "/run/permafrost-slots")),
        fingerprint_file=Path(given.get("fingerprint_file", "/etc/permafrost/fingerprint.json")),
        control_socket=Path(given.get("control_socket", "/run/permafrost-node/control.sock")),
        health_port=int(given.get("health_port", 9100)),
        served_dir=Path(given.get("served_dir", "/var/lib/permafrost-node")),
        serving=dict(given.get("serving") or {}),
        baseline_signers=_signers(given.get("baseline_signers")),
        source=source,
    )


def _signers(given: dict[str, Any] | None) -> dict[str, str] | None:
    """Return who may sign baselines. Nobody is not the same as no demand: then nothing counts."""
    return None if given is None else {str(n): str(pem) for n, pem in dict(given).items()}
