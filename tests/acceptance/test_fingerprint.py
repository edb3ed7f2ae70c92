"""One behaviour on every replica of a checkpoint: recorded on one, met by all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.acceptance.conftest import endpoint, replica_state
from tests.acceptance.driver import Cli

Status = Callable[[], dict[str, Any]]


def test_only_a_drained_replica_is_probed(permafrost: Cli, status: Status) -> None:
    refused = permafrost.run(
        "model", "fingerprint", "record", "lab-chat-01", "--yes", "--output", "json", expect=3
    )
    (problem,) = json.loads(refused.stderr)
    assert (problem["code"], problem["path"]) == ("REPLICA_NOT_DRAINED", "lab-chat-01")
    assert replica_state(status(), "lab-chat-01") == "ADMITTED"


def test_what_one_replica_answers_all_answer(permafrost: Cli, status: Status) -> None:
    replicas = [r["name"] for r in endpoint(status(), "chat")["replicas"]]
    classes, sets = [], []
    for number, name in enumerate(replicas):
        permafrost.run("drain", name, "--yes")
        try:
            if number == 0:
                recorded = permafrost.json("model", "fingerprint", "record", name, "--yes")
                assert recorded["passes"]
                assert recorded["notes"] == []
                again = permafrost.json("model", "fingerprint", "record", name, "--yes")
                assert not again["changed"]
            found = permafrost.json("model", "fingerprint", "compare", name)
            assert replica_state(status(), name) == "DRAINED"
        finally:
            permafrost.run("undrain", name, "--yes")
        comparison = found["comparison"]
        assert (comparison["grade"], comparison["same_class"]) == ("identical", True), found
        assert comparison["compared"] == comparison["positions"] > 100
        assert comparison["mean_off_nat"] == 0
        classes.append(found["serving_class"])
        sets.append(found["probe_set"])
    assert classes == [classes[0]] * len(replicas)
    assert classes[0]["engine_image"].startswith("sha256:")
    assert classes[0]["precision"] == "Q4_1"
    assert sets == [sets[0]] * len(replicas)
    assert status()["healthy"]
