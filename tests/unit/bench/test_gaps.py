"""What the table of gaps says of an event, with either configuration."""

from __future__ import annotations

import pytest

from tests.bench.gaps import Gap, gap_of, gap_table, is_quiet, rows_of, settings_table, together
from tests.knowledge.history import Asked


def asked(*ended: tuple[float, str]) -> list[Asked]:
    return [Asked("search", 1, at - 0.1, at, outcome) for at, outcome in ended]


def test_an_outage_is_the_longest_time_without_a_right_answer() -> None:
    entries = asked(
        (1, "ok"), (2, "failed"), (9, "failed"), (9.5, "wrong"), (10, "ok"), (11, "ok")
    )
    assert gap_of(entries, 0, 12, 1.5) == Gap(9, 1, 2)
    assert gap_of(entries, 0, 12, 1.5, lost=3).wrong == 4


@pytest.mark.parametrize("end", [(19.0, "failed"), (19.0, "wrong")])
def test_what_is_not_right_in_the_end_has_not_ended(end: tuple[float, str]) -> None:
    found = gap_of(asked((1, "ok"), (18.5, "ok"), end), 0, 20, 5)
    assert not found.has_ended
    assert gap_of(asked((1, "ok"), (18.5, "ok")), 0, 20, 5).has_ended


def test_nobody_who_was_answered_lately_is_no_quiet() -> None:
    assert not is_quiet([], 100, 15)
    assert not is_quiet(asked((80, "ok")), 100, 15)
    assert is_quiet(asked((80, "failed"), (90, "ok")), 100, 15)


def test_rounds_are_told_by_the_median_and_by_all_that_was_wrong() -> None:
    rounds = [
        {"search": Gap(s, wrong, 1, ended), "insert": Gap(1, 0, 0)}
        for s, wrong, ended in ((2, 0, True), (30, 2, False), (4, 1, True))
    ]
    assert together(rounds) == {"search": Gap(4, 3, 3, has_ended=False), "insert": Gap(1, 0, 0)}


OURS, DEFAULTS = Gap(8.1, 0, 31), Gap(40.5, 7, 90)


@pytest.mark.parametrize(
    ("ours", "defaults", "shown"),
    [
        (OURS, DEFAULTS, ("8.1", "40.5", "0.20", "0", "7", "31", "90")),
        # Longer than anybody looked: the ratio is less than what it would be of that.
        (
            OURS,
            Gap(300, 7, 90, has_ended=False),
            ("8.1", "> 300.0", "< 0.03", "0", "7", "31", "90"),
        ),
        (Gap(300, 0, 9, has_ended=False), DEFAULTS, ("> 300.0", "40.5", "-", "0", "7", "9", "90")),
    ],
)
def test_a_row_has_both_and_the_ratio_of_ours_to_the_defaults(
    ours: Gap, defaults: Gap, shown: tuple[str, ...]
) -> None:
    gaps = [{"search": gap, "insert": Gap(1, 0, 0)} for gap in (ours, defaults)]
    search, insert = rows_of("query node killed", gaps[0], gaps[1])
    assert search == ("query node killed", "search", *shown)
    assert insert == ("query node killed", "insert", "1.0", "1.0", "1.00", "0", "0", "0", "0")


def test_tables_have_a_row_for_each_event_and_kind_and_for_each_setting() -> None:
    both = {"search": OURS, "insert": OURS}, {"search": DEFAULTS, "insert": DEFAULTS}
    assert gap_table({"a": both, "b": both}, rounds=1).row_count == 4
    assert "medians of 3" in str(gap_table({"a": both}, rounds=3).title)
    table = settings_table({"common/session/ttl": (30, 5)})
    assert [list(column.cells) for column in table.columns] == [
        ["common/session/ttl"],
        ["5"],
        ["30"],
    ]
