"""Samples, shards and resuming: chosen by text alone, nothing twice, nothing left out."""

from __future__ import annotations

import json
from pathlib import Path

from lab.testrun.plugin import choose, in_shard, passed_before

NAMES = [f"tests/chaos/test_x.py::test_{n}" for n in range(40)]


def test_a_sample_follows_the_seed_and_not_the_order() -> None:
    assert choose(NAMES, "abc") == choose(NAMES[::-1], "abc")
    assert len({choose(NAMES, str(seed)) for seed in range(30)}) > 5


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
