"""Maintenance mode and power through our hypervisor, also over the end of a session."""

from __future__ import annotations

import pytest
from pyVmomi import vim

from permafrost.adapters.vsphere.tasks import again, await_task, find
from permafrost.engine.waiting import SystemClock
from permafrost.errors import Failed
from tests.contract.vsphere.byhand import ByHand

ONE = "lab-chat-01"


def test_a_host_is_closed_and_opened(person: ByHand) -> None:
    person.deploy()
    name = person.host_name(0)
    for vm in person.hypervisor.observe().vms:
        if vm.host == name and vm.is_on:
            person.hypervisor.power_off(vm.name, deadline_s=30)
    for _ in range(2):  # what is so already stays so
        person.hypervisor.enter_maintenance(name, deadline_s=30)
        host = person.hypervisor.observe().host(name)
        assert host is not None
        assert host.in_maintenance
    for _ in range(2):
        person.hypervisor.exit_maintenance(name, deadline_s=30)
        host = person.hypervisor.observe().host(name)
        assert host is not None
        assert not host.in_maintenance
    person.hypervisor.power_on(ONE, deadline_s=30)


def test_what_does_not_exist_is_said(person: ByHand) -> None:
    with pytest.raises(Failed, match="HOST_MISSING"):
        person.hypervisor.enter_maintenance("no-such-host", deadline_s=5)
    with pytest.raises(Failed, match="VM_MISSING"):
        person.hypervisor.power_off("no-such-vm", deadline_s=5)


def test_an_object_that_was_found_is_the_same_in_the_next_session(person: ByHand) -> None:
    person.deploy()
    session = person.hypervisor._session
    found = session.call(lambda content: find(content, vim.VirtualMachine, ONE))
    session.call(lambda content: content.sessionManager.Logout())
    with pytest.raises(Failed):  # the control: as it was found it belongs to the session before
        session.call(lambda _: found.name)
    session.call(lambda content: content.sessionManager.Logout())
    assert session.call(lambda content: again(content, found).name) == ONE


def test_a_task_is_awaited_over_the_end_of_the_session_that_began_it(person: ByHand) -> None:
    person.deploy()
    session = person.hypervisor._session
    task = session.call(lambda content: find(content, vim.VirtualMachine, ONE).PowerOff())
    session.call(lambda content: content.sessionManager.Logout())
    with pytest.raises(Failed):  # the control: the task belongs to the session before
        session.call(lambda _: task.info)
    session.call(lambda content: content.sessionManager.Logout())
    await_task(session, ONE, task, SystemClock(), deadline_s=30)
    assert not next(vm for vm in person.hypervisor.observe().vms if vm.name == ONE).is_on
