"""A slot cut-over under load loses nothing; a reload in the middle does not take it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.edge.cutover import NEW, OLD
from tests.contract.edge.test_front_door import run

pytestmark = pytest.mark.soak


def test_a_cut_over_loses_nothing_and_outlives_a_reload(tmp_path: Path) -> None:
    seen = run("cutover", tmp_path)
    assert seen["statuses"] == {"200": seen["requests"]}, seen
    assert seen["requests"] >= 100
    assert set(seen["after_it"]) == set(seen["after_a_reload"]) == {NEW}, seen
    assert set(seen["back"]) == {OLD}, seen


def test_control_without_the_file_a_reload_takes_it_back(tmp_path: Path) -> None:
    seen = run("cutover-runtime-alone", tmp_path)
    assert set(seen["after_it"]) == {NEW}
    assert OLD in seen["after_a_reload"], seen
