"""The reboot gate agrees with what the real provider was seen to do, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from permafrost.planning.reboot import Effect, Verdict, changed_properties, verdict_of
from tests.contract.provider.cases import Case, load

UPDATES = [case for case in load() if case.suite == "vm-updates"]
HOST_DEVICES = frozenset({"0000:3b:00.0"})
MOVED = {
    "gpu-host-system-id",
    "plain-host-system-id",
    "plain-host-system-id-added-same-host",
    "datastore-id",
    "resource-pool-id",  # names a host that is not there any more, too
}
STOPPED_ASKING = "did not power off within the specified amount of time"


def step(case: Case, method: str) -> dict[str, Any] | None:
    return next((s for s in case.steps if s["method"] == method), None)


def asked(case: Case) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]] | None:
    """Return what the first Diff of a case found, and the values before and after."""
    diff = step(case, "Diff")
    if diff is None or diff["error"]:
        return None
    olds, news = (inputs_of(case, diff[key]) for key in ("oldInputs", "news"))
    return diff["response"]["detailedDiff"], olds, news


def inputs_of(case: Case, value: Any) -> dict[str, Any]:
    """Return inputs as they were given: what Check made of them was not kept."""
    while set(value) == {"$ref"}:
        number = int(value["$ref"].removeprefix("step:").partition(".")[0])
        value = case.steps[number - 1]["news"]
    found: dict[str, Any] = value
    return found


def verdict(case: Case) -> Verdict | None:
    found = asked(case)
    return None if found is None else verdict_of(*found, devices=HOST_DEVICES)


JUDGED = [case for case in UPDATES if verdict(case) is not None]


def test_the_recorded_suite_is_there() -> None:
    assert len(JUDGED) > 80
    unjudged = {case.name for case in UPDATES} - {case.name for case in JUDGED}
    # A shrinking disk fails in preview; the others delete and update nothing.
    assert unjudged == {
        "disk-shrink-data",
        "delete-shutdown-ignored-force-false",
        "delete-shutdown-ignored-force-true",
    }


@pytest.mark.parametrize("case", JUDGED, ids=lambda case: case.name)
def test_the_gate_agrees_with_the_recorded_power_events(case: Case) -> None:
    found, diff, update = verdict(case), step(case, "Diff"), step(case, "Update")
    assert found is not None
    assert diff is not None
    assert (found.effect is Effect.REPLACED) == bool(diff["response"]["replaces"])
    assert (found.effect is Effect.MOVED) == (case.name in MOVED)
    if update is None:
        assert found.effect in (Effect.REPLACED, Effect.UNTOUCHED)
        return
    went_off = any(verb == "off" for verb, _ in update["power"])
    was_asked = STOPPED_ASKING in str((update["error"] or {}).get("message"))
    assert (found.effect is Effect.POWER_CYCLED) == (went_off or was_asked), str(found)
    assert "never recorded" not in str(found)


@pytest.mark.parametrize("case", JUDGED, ids=lambda case: case.name)
def test_inputs_alone_lead_to_the_same_verdict(case: Case) -> None:
    """The program has no detailed diff while it runs: old and new inputs must do."""
    found = asked(case)
    diff = step(case, "Diff")
    assert found is not None
    assert diff is not None
    _, olds, news = found
    before = inputs_of(case, diff["oldInputs"])
    paths = changed_properties(before, news)
    by_inputs = verdict_of(paths, olds, news, devices=HOST_DEVICES)
    exact = verdict(case)
    assert exact is not None
    # Inputs that go away are often no change to the provider: a warning too much is allowed.
    removed = any(kind == "delete" for kind in paths.values())
    assert by_inputs.effect is exact.effect or removed, (str(by_inputs), str(exact))
