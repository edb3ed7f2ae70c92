"""``make soak``: everything exhaustive, in shards of at most 30 minutes that can be resumed."""

from __future__ import annotations

import json
import re
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from lab.front.instance import CHECKOUT
from lab.front.processes import CommandFailed, Stopped, call
from lab.testrun import ownlab
from lab.testrun.run import LENT_LAB, Run, commit, deploy_raw, take_down
from lab.testrun.steps import Step, examples_option, pytest_step

_START_UNTIL_S = 25 * 60.0
_HARD_STOP_S = 29 * 60.0
"""A shard takes at most 30 minutes: what runs then is cut, and comes first the next time."""
_COLLECT_TIMEOUT_S = 120.0
_NOTHING_COLLECTED, _TOO_LONG = 5, 124
_FAMILIES = (
    "tests/contract/provider",
    "tests/contract/fingerprint",
    "tests/contract/lab",
    "tests/contract/program",
    "tests/contract/vsphere",
    "tests/contract/edge",
    "tests/properties",
    "tests/unit/runbook",
    "tests/contract/base",
    "tests/contract/registry",
    "tests/chaos",
    "tests/soak",
    "tests/knowledge",
    "tests/upgrade",
    "tests/external",
    "tests/racks",
    "tests/own_registry",
)
_ON_A_SITE = "tests/acceptance"
_LONG = {"tests/contract/hours": 75 * 60.0}
"""What no shard has room for runs where ``ONLY`` names it, within so many seconds of its own."""
_OFTEN = ("-m", "soak or exhaustive or own_lab")
"""What ``make test`` runs in full is not run here again; families on a site of their own are."""
_NO_SITE = ("env", f"--unset={LENT_LAB}", "--unset=PERMAFROST_SITE")
"""No family takes a site that somebody named, or the shared one that is not up, for its own."""


def families(only: str) -> tuple[str, ...]:
    """Return the families to run: all of them, or those parts that ``only`` names.

    ``only``: paths under families, with commas between, as ``tests/contract/lab``; what takes
    longer than a shard runs where it is named here alone. Raises ``SystemExit`` with a sentence
    that says what is no part of a family.
    """
    known = (*_FAMILIES, *_LONG, _ON_A_SITE)
    if not only:
        return tuple(path for path in known if path not in _LONG)
    asked = [path.strip().rstrip("/") for path in only.split(",")]
    strange = [p for p in asked if not any(p == k or p.startswith(f"{k}/") for k in known)]
    strange += [p for p in asked if p not in strange and not (CHECKOUT / p).exists()]
    if strange:
        raise SystemExit(f"ONLY={only}: {', '.join(strange)}: not in {', '.join(known)}")
    return tuple(asked)


def hard_stop_s(asked: tuple[str, ...]) -> float:
    """Return after how long what runs then is cut, in seconds."""
    return max((_LONG[_family(path)] for path in asked if _family(path)), default=_HARD_STOP_S)


def _family(path: str) -> str:
    """Return the long family that a path belongs to; empty where it is none."""
    return next((k for k in _LONG if path == k or path.startswith(f"{k}/")), "")


def soak(shard: str, only: str = "") -> int:
    """Run one shard; return an exit status. Run it again to finish what did not fit."""
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", shard)
    if match is None or int(match[1]) > int(match[2]):
        raise SystemExit(f"SHARD={shard}: must be k/n with 1 <= k <= n")
    asked = families(only)
    run = Run(ownlab.new_id())
    begun = time.time()
    run.until = begun + _START_UNTIL_S
    part_of = "".join(f"-{path.removeprefix('tests/').replace('/', '.')}" for path in asked)
    name = f"{commit()[:12]}{part_of if only else ''}-{match[1]}of{match[2]}"
    ledger = CHECKOUT / ".cache" / "soak" / f"{name}.jsonl"
    ledger.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(run, begun + hard_stop_s(asked), shard, ledger)
    if not only:
        run.stages.say(f"longer than a shard, run with ONLY= alone: {', '.join(_LONG)}")
    try:
        ownlab.remove_abandoned(run.stages)
        for path in asked:
            if not path.startswith(_ON_A_SITE):
                part.run(path)
        for path in asked:
            if path.startswith(_ON_A_SITE):
                part.on_a_site(path)
    except (CommandFailed, Stopped) as error:
        run.stages.say(f"make soak: {error}")
        run.tally.step(f"run to the end ({error})", well=False)
    finally:
        ownlab.remove_abandoned(run.stages)
    left = _write_evidence(name, shard, ledger)
    run.stages.say(run.stages.table())
    run.stages.say(run.tally.closing_line())
    if left or part.cut:
        run.stages.say(f"not finished: run make soak SHARD={shard} again")
    return 0 if run.tally.failed == 0 and not left and not part.cut else 1


class _Part:
    """One shard's tests, family by family, until its time is over."""

    def __init__(self, run: Run, stop_at: float, shard: str, ledger: Path) -> None:
        self.work = run
        self.stop_at = stop_at
        examples = examples_option(commit())
        self.options = (f"--shard={shard}", f"--ledger={ledger}", "--over=later", "-v", examples)
        self.cut = False

    def run(self, family: str, *, on_the_shared_site: bool = False) -> None:
        """Run what lies in this shard of a family; nothing of it there is no failure."""
        run, name = self.work, Path(family).stem
        until = f"--start-until={run.until}"
        step = pytest_step(name, (family,), run.folder, until, *_OFTEN, *self.options)
        if self._is_empty(step):
            return
        with run.stages.stage(name, family):
            left = max(1.0, self.stop_at - time.time())
            argv = step.argv if on_the_shared_site else (*_NO_SITE, *step.argv)
            status = call(argv, cwd=CHECKOUT, env=run.env, timeout_s=left)
            if status == _TOO_LONG:
                self.cut = True
                run.stages.say("cut: the shard's time is over")
                return
            run.tally.pytest(name, run.folder / f"{name}.xml", status)

    def on_a_site(self, family: str) -> None:
        """Run the scenarios that share one deployed site, where this shard has any."""
        run = self.work
        step = pytest_step("site", (family,), run.folder, *_OFTEN, *self.options)
        if self._is_empty(step):
            return
        if time.time() > run.until:
            self.cut = True
            return
        with ownlab.owned(run.identity):
            try:
                deploy_raw(run)
                self.run(family, on_the_shared_site=True)
            finally:
                take_down(run, run.identity)

    def _is_empty(self, step: Step) -> bool:
        argv = (*step.argv, "--collect-only", "-q")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        status = call(argv, cwd=CHECKOUT, env=self.work.env, timeout_s=_COLLECT_TIMEOUT_S, **quiet)
        return status == _NOTHING_COLLECTED


def _write_evidence(name: str, shard: str, ledger: Path) -> int:
    """Write what is known of a shard; return how many of its tests have not run yet."""
    entries: dict[str, dict[str, object]] = {}
    for line in ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else []:
        with suppress(ValueError):  # a line that a kill cut short is no line
            entry = json.loads(line)
            entries[entry["test"]] = entry
    outcomes = [str(entry["outcome"]) for entry in entries.values()]
    evidence = {
        "schema": 1,
        "commit": commit(),
        "shard": shard,
        "seed": commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "had": "lab",
        "counts": {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))},
        "tests": sorted(entries.values(), key=lambda entry: str(entry["test"])),
    }
    folder = CHECKOUT / "docs" / "evidence"
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(evidence, indent=2) + "\n"
    (folder / f"soak-{name}.json").write_text(text, encoding="utf-8")
    return outcomes.count("not started")
