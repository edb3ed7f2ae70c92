"""What ``make soak`` runs, and what it does not take for a family."""

from __future__ import annotations

import pytest

from lab.testrun.soak import families, hard_stop_s
from lab.testrun.steps import sample_options


def test_without_a_choice_all_families_run_and_those_on_a_site_last() -> None:
    every = families("")
    assert every[-1] == "tests/acceptance"
    assert "tests/contract/lab" in every


def test_parts_of_families_may_be_chosen() -> None:
    asked = families("tests/contract/lab/test_agreement.py, tests/soak/")
    assert asked == ("tests/contract/lab/test_agreement.py", "tests/soak")


def test_what_is_longer_than_a_shard_runs_where_it_is_named_and_has_its_own_time() -> None:
    long = "tests/contract/hours"
    assert long not in families("")
    assert families(long) == (long,)
    assert hard_stop_s(families("")) == hard_stop_s(("tests/contract/edge",)) <= 30 * 60
    for path in (long, f"{long}/test_stream_of_an_hour.py"):
        assert hard_stop_s(families(path)) > 3600


@pytest.mark.parametrize("path", ["tests/unit", "tests/contract/laboratory", "tests/soak/none.py"])
def test_what_is_in_no_family_is_named(path: str) -> None:
    with pytest.raises(SystemExit, match=path):
        families(f"tests/soak,{path}")


def test_a_commit_generates_its_own_examples_and_the_same_again() -> None:
    one, other = (sample_options(c) for c in ("0f06e01bc250", "738defcd9196"))
    assert one == sample_options("0f06e01bc250")
    assert [o.partition("=")[0] for o in one] == ["--sample", "--hypothesis-seed"]
    assert one[1] != other[1]
