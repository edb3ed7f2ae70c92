"""``make soak``: everything exhaustive, in shards of at most 30 minutes that can be resumed."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from lab.front.instance import CHECKOUT
from lab.front.processes import CommandFailed, Stopped
from lab.testrun import ownlab
from lab.testrun.run import Run, commit

_SHARD_S = 26 * 60.0
_FAMILIES = (
    "tests/contract/provider",
    "tests/contract/fingerprint",
    "tests/contract/lab",
    "tests/properties",
    "tests/unit/runbook",
    "tests/contract/registry",
    "tests/chaos",
    "tests/soak",
)


def soak(shard: str) -> int:
    """Run one shard; return an exit status. Run it again to finish what did not fit."""
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", shard)
    if match is None or int(match[1]) > int(match[2]):
        raise SystemExit(f"SHARD={shard}: must be k/n with 1 <= k <= n")
    run = Run(ownlab.new_id())
    run.until = time.time() + _SHARD_S
    name = f"{commit()[:12]}-{match[1]}of{match[2]}"
    ledger = CHECKOUT / ".cache" / "soak" / f"{name}.jsonl"
    ledger.parent.mkdir(parents=True, exist_ok=True)
    try:
        ownlab.remove_abandoned(run.stages)
        for family in _FAMILIES:
            # An empty expression takes back the one that leaves soak tests out.
            options = ("-m", "", f"--shard={shard}", f"--ledger={ledger}", "-v")
            run.pytest(Path(family).name, f"shard {shard}", family, *options, may_be_empty=True)
    except (CommandFailed, Stopped) as error:
        run.stages.say(f"make soak: {error}")
        run.tally.step(f"run to the end ({error})", well=False)
    _write_evidence(name, shard, ledger)
    run.stages.say(run.stages.table())
    run.stages.say(run.tally.closing_line())
    return 0 if run.tally.failed == 0 else 1


def _write_evidence(name: str, shard: str, ledger: Path) -> None:
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
