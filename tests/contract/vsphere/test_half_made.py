"""What an interrupted clone left is removed, and nothing else that bears a node's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.provider.vsphere import vim
from permafrost.adapters.pulumi_stack.orphans import remove_half_made
from permafrost.adapters.pulumi_stack.ownership import annotation
from permafrost.site.load import LoadedSite
from permafrost.topology import nodes
from tests.contract.vsphere.byhand import GPUS, ByHand

NAME = "lab-chat-01"


def loaded(person: ByHand, folder: Path) -> LoadedSite:
    return LoadedSite(person.site, folder / "site.yaml")


def names(person: ByHand) -> set[str]:
    from lab.provider.inventory import view

    content = person._session.content
    return {str(vm.name) for vm in view(person._session, content.rootFolder, vim.VirtualMachine)}


def into_folder(person: ByHand, name: str) -> None:
    """Put a VM into the site's own folder."""
    root: Any = person.find(vim.Datacenter, "DC0").vmFolder
    own = root.CreateFolder(person.site.vcenter.folder)
    person._op.wait(own.MoveIntoFolder_Task([person.vm(name)]))


def test_a_clone_that_nobody_finished_is_removed(person: ByHand, tmp_path: Path) -> None:
    person.make(NAME, 0)
    into_folder(person, NAME)
    remove_half_made(loaded(person, tmp_path), {"lab-chat-02"})
    assert NAME in names(person), "only those that are named"
    remove_half_made(loaded(person, tmp_path), {NAME})
    assert NAME not in names(person)


@pytest.mark.parametrize("why", ["elsewhere", "on", "device", "marked"])
def test_what_may_be_somebodys_stays(person: ByHand, tmp_path: Path, why: str) -> None:
    person.make(NAME, 0, (GPUS[0],) if why == "device" else ())
    if why != "elsewhere":
        into_folder(person, NAME)
    if why == "on":
        person.power_on(NAME)
    if why == "marked":
        (node,) = (n for n in nodes(person.site) if n.name == NAME)
        person.reconfigure(NAME, annotation=annotation(person.site, node))
    remove_half_made(loaded(person, tmp_path), {NAME})
    assert NAME in names(person)
