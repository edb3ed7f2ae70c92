"""Knowledge in an S3 endpoint that is there already: deployed, kept, and told when it is away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.driver import Cli, wait_until
from tests.contract.knowledge.s3_bench import S3
from tests.knowledge.changing import codes, nothing_noticed, site_said
from tests.knowledge.driver import Door
from tests.knowledge.test_losses import ready

pytestmark = [pytest.mark.soak, pytest.mark.own_lab]


@pytest.fixture(autouse=True)
def made_for_this(store: list[S3], site_env: dict[str, str]) -> S3:
    if not store:
        pytest.skip("the site that is named has no such store")
    return store[0]


def test_the_tier_answers_right_and_a_second_deployment_changes_nothing(
    permafrost: Cli, known: np.ndarray, made_for_this: S3
) -> None:
    # A collection has just been loaded: proxies are told who leads it a moment later.
    wait_until("the tier is ready", lambda: ready(permafrost), 120, 2)
    status = permafrost.json("status")["knowledge"]
    assert status["quorums"]["object_store"]["place"] == made_for_this.store().place
    assert all("minio" not in m["units"] for m in status["members"])
    assert any((made_for_this.folder / "data" / "knowledge").iterdir()), "it is kept there"
    permafrost.run("deploy", "--yes", timeout=1200)  # leaders as Milvus dealt them are spread
    assert permafrost.json("deploy", "--yes", timeout=1200)["changed"] == 0


def test_a_member_goes_and_comes_back_unnoticed(
    permafrost: Cli, door: Door, users: dict[str, str], known: np.ndarray
) -> None:
    with nothing_noticed("external-maintenance", permafrost, door, users, known):
        permafrost.run("maintenance", "enter", "lab-esx-02", "--yes", timeout=1200)
        permafrost.run("maintenance", "exit", "lab-esx-02", "--yes", timeout=1200)


def test_a_store_that_is_away_is_told_and_stops_changes(
    permafrost: Cli, folder: Path, made_for_this: S3, known: np.ndarray
) -> None:
    made_for_this.stop()
    try:
        wait_until("it is told", lambda: not ready(permafrost), 120, 3)
        with site_said(folder, "query: 4", "query: 6"):
            done = permafrost.run("plan", "--output", "json", expect=3, timeout=600)
            assert codes(done.stderr) & {"KNOWLEDGE_STORE_DEAD", "OBJECT_STORE_UNREACHABLE"}
    finally:
        made_for_this.restart()
    wait_until("the tier is ready again", lambda: ready(permafrost), 300, 3)
    steps = permafrost.json("plan")["steps"]
    assert [s for s in steps if s["kind"] != "bring-home"] == [], "the file is as it was"
