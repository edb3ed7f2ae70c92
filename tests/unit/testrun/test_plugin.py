"""Samples, shards and resuming: chosen by text alone, nothing twice, nothing left out."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from lab.testrun.plugin import choose, in_shard, passed_before

ROOT = Path(__file__).resolve().parents[3]
NAMES = [f"tests/chaos/test_x.py::test_{n}" for n in range(40)]


def test_a_sample_follows_the_seed_and_not_the_order() -> None:
    assert choose(NAMES, "abc", 3) == choose(NAMES[::-1], "abc", 3)
    assert len(set(choose(NAMES, "abc", 3))) == 3
    assert len({choose(NAMES, str(seed))[0] for seed in range(30)}) > 5


FAMILY = """
import pytest

@pytest.mark.exhaustive(2)
@pytest.mark.parametrize("n", range(9))
def test_many(n):
    pass

def test_one():
    pass
"""


def run_family(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the plugin over a file of its own."""
    (folder / "test_family.py").write_text(FAMILY)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = soak\n  exhaustive(n)\n")
    argv = [sys.executable, "-m", "pytest", "-v", "-p", "lab.testrun.plugin", *options, "."]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        argv, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_quick_run_does_a_sample_of_each_family_and_tells_which(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    quick = ("-m", "not soak", "--sample=abc", f"--sampled={told}")
    done = run_family(tmp_path, *quick)
    assert "3 passed, 7 deselected" in done.stdout, done.stdout
    (family,) = json.loads(told.read_text()).values()
    assert all(f"{name} PASSED" in done.stdout for name in family)
    assert len(family) == 2
    everything = run_family(tmp_path, "-m", "soak or exhaustive")
    assert "9 passed, 1 deselected" in everything.stdout, everything.stdout


def test_what_did_not_start_in_time_fails_a_test_run_and_stays_open_in_soak(
    tmp_path: Path,
) -> None:
    ledger = tmp_path / "ledger"
    over = (f"--start-until={time.time() - 1}", f"--ledger={ledger}")
    assert "10 errors" in run_family(tmp_path, *over).stdout
    assert {json.loads(x)["outcome"] for x in ledger.read_text().splitlines()} == {"failed"}
    ledger.unlink()
    assert "10 skipped" in run_family(tmp_path, *over, "--over=later").stdout
    assert {json.loads(x)["outcome"] for x in ledger.read_text().splitlines()} == {"not started"}
    assert passed_before(ledger) == set()


def test_every_test_is_in_exactly_one_shard() -> None:
    for name in NAMES:
        assert sum(in_shard(name, f"{k}/3") for k in (1, 2, 3)) == 1
        assert in_shard(name, "1/1")
        assert in_shard(name, "")
    assert all(any(in_shard(name, f"{k}/3") for name in NAMES) for k in (1, 2, 3))


def test_what_passed_is_not_run_again_and_a_cut_line_is_no_line(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    assert passed_before(ledger) == set()
    lines = [{"test": "a", "outcome": "passed"}, {"test": "b", "outcome": "failed"}]
    ledger.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"test": "c", "outc')
    assert passed_before(ledger) == {"a"}
