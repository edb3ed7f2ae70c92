"""An instance of the lab for one run: its own id, always removed, also one of a run that died."""

from __future__ import annotations

import fcntl
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.front.instance import CHECKOUT, PROGRAMS, environment, instance_dir
from lab.front.processes import call
from lab.front.stages import Stages

_OWNERS = CHECKOUT / ".cache" / "testrun"
_DOWN_TIMEOUT_S = 180.0
PULUMI_JOURNALS = "pulumi-home"


def new_id() -> str:
    """Return the id of a new instance for tests."""
    return f"t{secrets.token_hex(3)[:5]}"


def remove(identity: str) -> bool:
    """Remove an instance whatever state it is in; say whether all of it is gone."""
    env = environment(identity)
    if call(
        [str(PROGRAMS / "permafrost-lab"), "down"],
        cwd=CHECKOUT,
        env=env,
        timeout_s=_DOWN_TIMEOUT_S,
    ):
        cleanup = [sys.executable, "-m", "lab.cleanup"]
        if call(cleanup, cwd=CHECKOUT, env=env, timeout_s=_DOWN_TIMEOUT_S):
            return False
    return True


def remove_abandoned(stages: Stages) -> None:
    """Remove the instances of runs that were killed: those whose owner holds no lock."""
    for owner in sorted(_OWNERS.glob("*.owner")) if _OWNERS.exists() else []:
        with owner.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            stages.say(f"removing instance {owner.stem} of a test run that died")
            if remove(owner.stem):
                owner.unlink()


@contextmanager
def owned(identity: str) -> Iterator[None]:
    """Claim an instance for this run, so that another run does not take it for abandoned."""
    _OWNERS.mkdir(parents=True, exist_ok=True)
    owner = _OWNERS / f"{identity}.owner"
    with owner.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    with suppress(FileNotFoundError):
        owner.unlink()


def collect(identity: str, folder: Path) -> None:
    """Keep what the lab wrote: the services' logs and the machines' journals."""
    source = instance_dir(identity)
    folder.mkdir(parents=True, exist_ok=True)
    for log in [
        *source.glob("run/**/*.log"),
        *source.glob("*/*.log"),
        *source.glob("state/**/*.log"),
    ]:
        if PULUMI_JOURNALS in log.parts:  # Pulumi's own, and not text
            continue
        target = folder / str(log.relative_to(source)).replace("/", "_")
        with suppress(OSError):
            shutil.copyfile(log, target)
    for machine in sorted(source.glob("machines/*")):
        journal = machine / "upper" / "var" / "log" / "journal"
        if journal.is_dir():
            with (folder / f"journal-{machine.name}.txt").open("wb") as out:
                argv = ["journalctl", "-D", str(journal), "--no-pager", "-o", "short-iso"]
                call(argv, cwd=CHECKOUT, timeout_s=60, stdout=out)


def tails(folder: Path, lines: int = 25) -> Iterator[str]:
    """Yield the end of every file that was collected."""
    for path in sorted(folder.iterdir()):
        text = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if text:
            yield f"--- {path.name} (last {min(lines, len(text))} of {len(text)} lines)"
            yield from text[-lines:]
