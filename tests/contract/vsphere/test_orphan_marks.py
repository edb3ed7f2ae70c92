"""Groups, rules, tags and attributes that an interrupted run made are removed, others' stay."""

from __future__ import annotations

from pathlib import Path

from lab.provider.vsphere import vim
from permafrost.adapters.pulumi_stack.checkpoint import Pending
from permafrost.adapters.pulumi_stack.orphan_marks import ATTRIBUTE, CATEGORY, GROUPS, TAG
from permafrost.adapters.pulumi_stack.orphans import CREATING, KINDS, remove_orphans
from permafrost.planning.ownership import category_name, role_name
from permafrost.site.load import LoadedSite
from tests.contract.vsphere.byhand import ByHand

VM = "lab-chat-01"
HOST_RULE = next(kind for kind in KINDS if "VmHostRule" in kind)


def test_what_was_left_goes_and_what_is_somebodys_stays(person: ByHand, tmp_path: Path) -> None:
    person.make(VM, 0)
    person.define_marks()
    person.others_mark(VM, "backed-up", "last night")
    person.keep_on_hosts("add", "lab-a", [VM], [0, 1])
    person.keep_on_hosts("add", "others", [VM], [0, 1])
    loaded = LoadedSite(person.site, tmp_path / "site.yaml")
    category = category_name(person.site)

    def remove(*left: tuple[str, str]) -> None:
        remove_orphans(loaded, [Pending(CREATING, kind, name) for kind, name in left])

    assert set(person.tag_names()) == {"chat", "edge", "theirs"}
    remove((TAG, f"{category}-chat"), (ATTRIBUTE, role_name(person.site)))
    assert set(person.tag_names()) == {"edge", "theirs"}
    remove((CATEGORY, category), (HOST_RULE, "keep-in-lab-a"), (GROUPS[1], "vms-lab-a"))
    assert set(person.tag_names()) == {"theirs"}
    remove((GROUPS[0], "hosts-lab-a"))
    found = person.find(vim.ClusterComputeResource, "DC0_C0").configurationEx
    assert {r.name for r in found.rule} == {"keep-in-others"}
    assert {g.name for g in found.group} == {"vms-others", "hosts-others"}
    fields = {f.name for f in person._session.content.customFieldsManager.field}
    assert "backed-up" in fields
    assert role_name(person.site) not in fields
    # What is not there any more is no error: a repair may be cut and come again.
    remove((TAG, f"{category}-chat"), (CATEGORY, category), (GROUPS[0], "hosts-lab-a"))
