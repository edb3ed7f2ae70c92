"""The configuration that the bench compares with works with our nodes: it is no straw man."""

from __future__ import annotations

from pathlib import Path

from tests.contract.edge.front import NODES
from tests.contract.edge.stock import OUT
from tests.contract.edge.test_front_door import run


def test_a_stock_haproxy_serves_and_its_restart_cuts_what_is_open(tmp_path: Path) -> None:
    seen = run("stock", tmp_path)
    assert seen["up"] == sorted(NODES), "its own checks see every node"
    assert seen["open"] == [0], "what a restart costs"
    assert seen["up_after"] == seen["answered_by"] == sorted(set(NODES) - {OUT})
