"""What an interrupted run left is asked away until it is gone, whatever vCenter says meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.provider.vsphere import vim
from permafrost.adapters.pulumi_stack import removal
from permafrost.adapters.pulumi_stack.checkpoint import CREATING, VM_TYPE, Pending
from permafrost.adapters.pulumi_stack.orphan_marks import ATTRIBUTE
from permafrost.adapters.pulumi_stack.orphans import remove_half_made, remove_orphans
from permafrost.adapters.pulumi_stack.ownership import ownership_prefix
from permafrost.adapters.pulumi_stack.under_way import await_clones
from permafrost.adapters.vsphere import VcenterSession
from permafrost.errors import Failed
from permafrost.planning.ownership import role_name
from tests.contract.vsphere.byhand import ByHand
from tests.contract.vsphere.test_half_made import into_folder, loaded, names

NAME = "lab-chat-01"
SLOW = "lab-slowip-01"
"""Its machine takes 5 s to start, and so does its power-on at vCenter."""
HALF_MADE, PENDING = "half made", "pending"


def creating(name: str, kind: str = VM_TYPE) -> list[Pending]:
    return [Pending(CREATING, kind, name)]


def left(person: ByHand, name: str, note: str = "") -> None:
    """Make what an interrupted creation leaves."""
    person.make(name, 0)
    into_folder(person, name)
    if note:
        person.reconfigure(name, annotation=note)


def being_powered_on(person: ByHand, name: str) -> Any:
    """Ask for a power-on, as a provider does that is killed right after; return its task."""
    task = person.vm(name).PowerOnVM_Task(None)
    assert person.vm(name).runtime.powerState == "poweredOff"
    assert task.info.state == "running"
    return task


def test_one_that_is_on_when_its_turn_has_come_is_left_to_the_next_rule(
    person: ByHand, tmp_path: Path
) -> None:
    left(person, SLOW)
    task = being_powered_on(person, SLOW)
    remove_half_made(loaded(person, tmp_path), {SLOW})
    assert task.info.state == "success", "it was asked away before it ran, and refused"
    assert person.vm(SLOW).runtime.powerState == "poweredOn"


def test_what_carries_our_note_and_is_powered_on_meanwhile_is_powered_off_again(
    person: ByHand, tmp_path: Path
) -> None:
    left(person, SLOW, note=f"{ownership_prefix(person.site, SLOW)} endpoint chat")
    being_powered_on(person, SLOW)
    remove_orphans(loaded(person, tmp_path), creating(SLOW))
    assert SLOW not in names(person)
    assert person.vcenter.power_events()[-2:] == ["off", "destroy"]


@pytest.mark.parametrize("rule", [HALF_MADE, PENDING])
def test_a_refusal_is_no_end(person: ByHand, tmp_path: Path, rule: str) -> None:
    note = f"{ownership_prefix(person.site, NAME)} endpoint chat" if rule == PENDING else ""
    left(person, NAME, note)
    person.vcenter.refuse("Destroy_Task", "another task is in progress")
    if rule == HALF_MADE:
        remove_half_made(loaded(person, tmp_path), {NAME})
    else:
        remove_orphans(loaded(person, tmp_path), creating(NAME))
    assert NAME not in names(person)


def test_marks_are_asked_away_again_too(person: ByHand, tmp_path: Path) -> None:
    person.define_marks()
    person.vcenter.refuse("RemoveCustomFieldDef", "busy")
    remove_orphans(loaded(person, tmp_path), creating(role_name(person.site), ATTRIBUTE))
    fields = {f.name for f in person._session.content.customFieldsManager.field}
    assert role_name(person.site) not in fields


def test_what_is_never_removed_is_said_in_vcenters_own_words(
    person: ByHand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "DEADLINE_S", 1.0)
    left(person, NAME)
    person.disconnect(0)
    with pytest.raises(Failed, match=r"ORPHAN_NOT_REMOVED: lab-chat-01.*it is disconnected"):
        remove_half_made(loaded(person, tmp_path), {NAME})
    assert NAME in names(person)


def test_what_vanishes_while_it_is_asked_away_is_gone(person: ByHand, tmp_path: Path) -> None:
    left(person, NAME)
    asked: list[str] = []

    def ask(content: Any) -> Any:
        asked.append(NAME)
        if NAME not in names(person):
            return None
        vm = vim.VirtualMachine(person.vm(NAME)._moId, content.rootFolder._stub)
        person.destroy(NAME)
        return vm.Destroy_Task()

    session = VcenterSession(loaded(person, tmp_path))
    removal.remove(session, NAME, ask)
    session.close()
    assert asked == [NAME, NAME]


def test_a_right_that_is_lacking_is_not_waited_for(person: ByHand, tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(_content: Any) -> Any:
        asked.append(NAME)
        raise vim.fault.NoPermission(msg="Permission was denied.", privilegeId="VM.Delete")

    session = VcenterSession(loaded(person, tmp_path))
    with pytest.raises(Failed, match=r"ORPHAN_NOT_REMOVED: lab-chat-01.*Permission was denied"):
        removal.remove(session, NAME, ask)
    session.close()
    assert asked == [NAME]


def test_a_vcenter_that_takes_no_login_is_not_waited_for(person: ByHand, tmp_path: Path) -> None:
    left(person, NAME)
    (tmp_path / "password").write_text("another")
    with pytest.raises(Failed, match="VCENTER_LOGIN"):
        remove_half_made(loaded(person, tmp_path), {NAME})


def test_a_clone_that_vcenter_still_makes_is_waited_for(person: ByHand, tmp_path: Path) -> None:
    template = person.vm(person.site.vcenter.template)
    location = vim.vm.RelocateSpec(
        pool=person.find(vim.ClusterComputeResource, "DC0_C0").resourcePool,
        datastore=person.find(vim.Datastore, "LocalDS_0"),
    )
    spec = vim.vm.CloneSpec(location=location, powerOn=True, template=False)
    task = template.CloneVM_Task(person.find(vim.Datacenter, "DC0").vmFolder, SLOW, spec)
    await_clones(loaded(person, tmp_path), creating("hosts-lab-a", "a group"))
    assert task.info.state == "running", "nobody waits where no VM was asked for"
    await_clones(loaded(person, tmp_path), creating(SLOW))
    assert task.info.state == "success"
    await_clones(loaded(person, tmp_path), creating(SLOW))
