"""What a part is, and what its build function is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.build import command

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Build:
    """One build of one part, written below ``out``; ``needs`` are the folders of other parts."""

    out: Path
    log: Path
    checkout: Path
    versions: Mapping[str, Mapping[str, Any]]
    needs: Mapping[str, Path]

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = command.DEFAULT_TIMEOUT_S,
    ) -> None:
        """Run a command, its output in the part's log."""
        command.run(argv, log=self.log, cwd=cwd, env=env, timeout_s=timeout_s)

    def output(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = command.DEFAULT_TIMEOUT_S,
    ) -> str:
        """Return what a command printed."""
        return command.output(argv, cwd=cwd, env=env, timeout_s=timeout_s)


def _no_facts(versions: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    del versions
    return {}


@dataclass(frozen=True)
class Part:
    """A part of the lab: what it is made from, and how."""

    name: str
    summary: str
    build: Callable[[Build], None]
    inputs: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    needs_gib: float = 0.5
    facts: Callable[[Mapping[str, Mapping[str, Any]]], dict[str, str]] = field(default=_no_facts)
    on_demand: bool = False
    """Whether it is built only when somebody names it: what only some sites need."""
