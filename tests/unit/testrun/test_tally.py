"""Counts of a run: from pytest's reports and from single steps."""

from __future__ import annotations

from pathlib import Path

from lab.testrun.tally import Tally

REPORT = """<testsuites><testsuite>
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure message="0 == 1&#10;because"/></testcase>
<testcase classname="a" name="broken"><error/></testcase>
<testcase classname="a" name="left"><skipped/></testcase>
</testsuite></testsuites>"""


def test_a_report_is_counted_by_case(tmp_path: Path) -> None:
    report = tmp_path / "r.xml"
    report.write_text(REPORT)
    tally = Tally()
    tally.pytest("unit", report, 1)
    tally.step("mypy", well=True)
    assert tally.closing_line() == "2 passed, 2 failed"
    assert tally.failures == ["a::bad\n    0 == 1\n    because", "a::broken"]


def test_a_run_without_a_report_failed(tmp_path: Path) -> None:
    tally = Tally()
    tally.pytest("unit", tmp_path / "none.xml", 137)
    assert tally.closing_line() == "0 passed, 1 failed"


def test_a_bad_exit_without_a_bad_case_is_a_failure(tmp_path: Path) -> None:
    report = tmp_path / "r.xml"
    report.write_text('<testsuites><testsuite><testcase name="good"/></testsuite></testsuites>')
    tally = Tally()
    tally.pytest("unit", report, 5)
    assert tally.closing_line() == "1 passed, 1 failed"


def test_the_end_of_what_a_program_said_is_told(tmp_path: Path) -> None:
    """A command that failed says why in its last lines, which pytest leaves out of its message."""
    said = "".join(f"E       line {n}&#10;" for n in range(100))
    failure = (
        f'<failure message="line 0&#10;line 1">    assert x&#10;{said}t.py:1: Error</failure>'
    )
    report = tmp_path / "r.xml"
    report.write_text(f'<testsuites><testcase name="bad">{failure}</testcase></testsuites>')
    tally = Tally()
    tally.pytest("unit", report, 1)
    first, *_, last = tally.failures[0].splitlines()[1:]
    assert (first.strip(), last.strip()) == ("line 0", "line 99")
    assert "    [58 lines]" in tally.failures[0]
    assert len(tally.failures[0].splitlines()) < 60
