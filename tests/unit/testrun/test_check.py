"""What `make check` looks at: all without a lab but what takes long, which `make test` adds."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from lab.front.instance import CHECKOUT
from lab.testrun.steps import check_steps, lint_steps, unit_step


def marks_of(argv: tuple[str, ...]) -> list[str]:
    return [value for option, value in pairwise(argv) if option == "-m"][1:]


def test_a_check_leaves_out_what_takes_long_and_a_test_run_does_not(tmp_path: Path) -> None:
    check = next(s for s in check_steps(tmp_path, "abc") if s.name == "unit tests")
    test = unit_step(tmp_path)
    assert marks_of(check.argv) == ["not soak and not thorough"]
    assert marks_of(test.argv) == ["not soak"]
    assert [a for a in check.argv if a.startswith("tests/")] == [
        a for a in test.argv if a.startswith("tests/")
    ]


def test_a_check_lints_all_that_a_test_run_lints(tmp_path: Path) -> None:
    names = {s.name for s in check_steps(tmp_path, "abc")}
    assert names >= {s.name for s in lint_steps()}


def test_only_tests_without_a_lab_are_left_out_as_long() -> None:
    """Elsewhere the marker would do nothing: no run but a check asks for it."""
    elsewhere = ("acceptance", "chaos", "contract", "external", "knowledge", "soak", "upgrade")
    marked = [
        path
        for folder in elsewhere
        for path in (CHECKOUT / "tests" / folder).rglob("*.py")
        if "mark.thorough" in path.read_text(encoding="utf-8")
    ]
    assert marked == []
