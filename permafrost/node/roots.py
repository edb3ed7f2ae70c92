"""What must stay on this node: pinned, loaded in a slot, or what a slot would go back to.

A switch is a change of one small file beside the trees: nothing is copied, and what a slot loaded
before stays its way back. Each file is replaced whole, so a cut leaves the old or the new answer.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import NodeError
from .settings import check_digest
from .store import ModelStore, sync_folder

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Slot:
    """What a slot loads, and what it loaded before; empty where there is none."""

    current: str = ""
    previous: str = ""


class Roots:
    """The folder ``roots`` of a store."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._folder = store.blobs.parents[1] / "roots"

    def slot(self, name: str) -> Slot:
        """Return what a slot has loaded."""
        try:
            told = json.loads(self._file("slot", name).read_bytes())
            return Slot(str(told["current"]), str(told["previous"]))
        except FileNotFoundError:
            return Slot()
        except (ValueError, KeyError, TypeError) as error:
            raise NodeError(
                "ROOTS_INVALID",
                f"{self._file('slot', name)}: {error}",
                "remove the file; `permafrost converge` writes it anew",
            ) from error

    def switch(self, name: str, checkpoint: str, served: str | None = None) -> Slot:
        """Point a slot at a checkpoint that is here; what it had is its way back.

        Not so where it had never ``served``: then its way back stays. ``served`` is what the slot
        served last, None where nobody knows.
        """
        with self._kept_together():
            before = self.slot(name)
            if before.current == checkpoint:
                return before
            if not self._store.tree(checkpoint).is_dir():
                raise NodeError(
                    "CHECKPOINT_NOT_HERE",
                    f"{checkpoint} is not on this node",
                    f"permafrost-node pull {checkpoint}",
                )
            has_served = served in (None, before.current) or not before.previous
            way_back = before.current if before.current and has_served else before.previous
            return self._point(name, Slot(checkpoint, way_back))

    def rollback(self, name: str) -> Slot:
        """Point a slot back at what it had; that can be taken back the same way."""
        with self._kept_together():
            before = self.slot(name)
            if not before.previous:
                raise NodeError(
                    "NO_WAY_BACK",
                    f"slot {name} has loaded nothing before",
                    "there is nothing to go back to: load by digest",
                )
            if not self._store.tree(before.previous).is_dir():
                raise NodeError(
                    "CHECKPOINT_NOT_HERE",
                    f"{before.previous} is not on this node",
                    "permafrost-node pull fetches it",
                )
            return self._point(name, Slot(before.previous, before.current))

    def pin(self, name: str, checkpoint: str) -> None:
        """Keep a checkpoint under a name until it is unpinned."""
        check_digest(checkpoint)
        path = self._file("pin", name)
        with self._kept_together():
            self._write(path, checkpoint.encode() + b"\n")

    def unpin(self, name: str) -> None:
        """Take a pin away."""
        self._file("pin", name).unlink(missing_ok=True)

    def kept(self) -> dict[str, str]:
        """Return every reason to keep a checkpoint, with its digest."""
        found: dict[str, str] = {}
        if not self._folder.is_dir():
            return found
        for path in sorted(self._folder.iterdir()):
            kind, _, name = path.name.partition(".")
            if kind == "slot":
                slot = self.slot(name)
                found |= {f"slot {name}": slot.current, f"way back of slot {name}": slot.previous}
            elif kind == "pin":
                found[f"pin {name}"] = path.read_text(encoding="ascii").strip()
        return {reason: digest for reason, digest in found.items() if digest}

    @contextmanager
    def _kept_together(self) -> Iterator[None]:
        """Hold off a collection: it sees a new root with what it needs, or comes before both."""
        self._store.create()
        with self._store.adding():
            yield

    def _point(self, name: str, slot: Slot) -> Slot:
        told = {"schema": 1, "current": slot.current, "previous": slot.previous}
        self._write(self._file("slot", name), json.dumps(told).encode() + b"\n")
        return slot

    def _file(self, kind: str, name: str) -> Path:
        if _NAME.fullmatch(name) is None:
            raise NodeError(
                "NAME_INVALID",
                f"{name!r} is no name for a {kind}",
                "small letters, digits and hyphens, at most 63",
            )
        return self._folder / f"{kind}.{name}"

    def _write(self, path: Path, content: bytes) -> None:
        self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}")
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(self._folder)
