"""The runbooks' state machine: some hundred steps in every check, thousands of runs in soak."""

from __future__ import annotations

import pytest

from permafrost.runbook.maintenance import leave
from tests.properties.machines import Runs, in_parts, run_machine
from tests.properties.runbook_machine import Runbooks
from tests.properties.simulated_site import HOSTS, ME, REPLICAS

EDGES_ARE_TOLD = 5
"""The moment of an undrain from which on its replica serves."""


@pytest.mark.parametrize("runs", in_parts(Runs(15, 12), Runs(250, 25), parts=12))
def test_runbooks_in_any_order(runs: Runs, commit_seed: int) -> None:
    run_machine(Runbooks, runs, commit_seed)


def test_an_undrain_killed_while_two_others_are_away_is_ended() -> None:
    """Random runs rarely come here: taken back it cannot be, for then one alone would serve."""
    machine = Runbooks()
    machine.deploy()
    one, two, three, four = REPLICAS
    machine.drain(one, None, None)
    machine.drain(two, None, None)
    machine.a_model_server_fails(three)
    machine.drain(three, None, None)
    machine.undrain(one, EDGES_ARE_TOLD, None)
    assert [run.plan.name for run in machine.ctx.store.runs.unfinished()] == [f"undrain {one}"]
    assert machine.world.serving("chat") == {one, four}
    machine.teardown()


@pytest.mark.parametrize("returns", [False, True])
def test_a_host_goes_after_another_died_in_maintenance_and_was_left(returns: bool) -> None:
    """Lost it is not away by our doing; that enough serve is asked as ever.

    Back and closed it is a second domain: it is opened first.
    """
    machine = Runbooks()
    machine.deploy()
    dead, other, third, _ = HOSTS
    machine.enter(dead, None, None)
    machine.lose_a_host(dead)
    machine.enter(other, None, None)
    assert [r.host for r in machine.ctx.store.maintenance.all()] == [dead], "it is away until then"
    machine.leave(None, None)
    if returns:
        machine.a_host_returns(dead)
        machine.enter(other, None, None)
        assert machine.ctx.store.maintenance.all() == (), "the other one would be the second"
        leave(machine.ctx, dead, owner=ME)
        machine.enter(other, None, None)
        assert [h for h in HOSTS if machine.world.hosts[h].in_maintenance] == [other]
        machine.teardown()
        return
    machine.enter(other, None, None)
    assert [r.host for r in machine.ctx.store.maintenance.all()] == [other]
    assert machine.world.hosts[dead].in_maintenance
    with pytest.raises(AssertionError, match=f"{third} is closed beside"):
        machine.check_effect("enter-maintenance", third)
    machine.teardown()
