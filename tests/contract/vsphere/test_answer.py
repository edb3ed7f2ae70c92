"""Our reader of the traversal's answer and pyvmomi's make the same of the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import SoapAdapter, vim, vmodl

from permafrost.adapters.vsphere.answer import read_answer
from permafrost.adapters.vsphere.exchange import ask, post
from permafrost.adapters.vsphere.traversal import DEVICES, PROPERTIES, question
from tests.contract.vsphere.alike import differences
from tests.contract.vsphere.byhand import GPUS, ByHand

Collector: Any = vmodl.query.PropertyCollector


def pages(content: Any, wanted: Any, size: int | None) -> list[tuple[Any, bytes]]:
    """Return what the server answers, page by page, with the type of the answer."""
    collector = content.propertyCollector
    stub = collector._GetStub()
    method, arguments = "RetrievePropertiesEx", ([wanted], Collector.RetrieveOptions())
    arguments[1].maxObjects = size
    found, token = [], "first"
    while token:
        info = collector._GetMethodInfo(method)
        status, text = post(stub, stub.SerializeRequest(collector, info, arguments))
        assert status == 200
        found.append((info.result, text))
        token = read_answer(text, stub)[1] or ""
        method, arguments = "ContinueRetrievePropertiesEx", (token,)
    return found


def full(person: ByHand) -> None:
    """A site as deployed, with each kind of rule, and a stranger that has two devices."""
    person.deploy()
    person.make("somebody-elses <&> ü", 3, GPUS)
    person.keep_together(["lab-chat-01", "lab-edge-01"])
    person.keep_on_hosts("add", "rack", ["lab-chat-02"], [1])
    person.ha({"das.respectVmVmAntiAffinityRules": "false"}, enabled=True)
    person.drs(enabled=True, defaultVmBehavior="manual")


def test_both_read_the_same(person: ByHand) -> None:
    full(person)
    content = person.vcenter.admin._session.content
    stub = content.propertyCollector._GetStub()
    view = content.viewManager.CreateContainerView(content.rootFolder, list(PROPERTIES), True)
    wanted = question(view, content)
    (whole,) = pages(content, wanted, None)
    several = pages(content, wanted, 3)
    assert len(several) > 3
    for kind, text in (whole, *several):
        theirs = SoapAdapter.SoapResponseDeserializer(stub).Deserialize(text, kind)
        ours, token = read_answer(text, stub)
        assert list(differences(ours, theirs)) == []
        assert token == theirs.token
    ours, _ = read_answer(whole[1], stub)
    rows = [row for reference, row in ours if isinstance(reference, vim.VirtualMachine)]
    assert {row["name"] for row in rows} >= {"somebody-elses <&> ü", "template-linux"}
    assert sorted(len(row[DEVICES]) for row in rows)[-1] == len(GPUS)
    # Control: one character elsewhere is a difference.
    other = whole[1].replace(GPUS[1].encode(), GPUS[0].encode(), 1)
    assert list(differences(read_answer(other, stub)[0], theirs_of(whole, stub)))


def theirs_of(page: tuple[Any, bytes], stub: Any) -> Any:
    return SoapAdapter.SoapResponseDeserializer(stub).Deserialize(page[1], page[0])


def test_what_only_pyvmomi_reads_is_read_by_it(person: ByHand) -> None:
    """A fault within a value is none of ours: the last task's error."""
    content = person.vcenter.admin._session.content
    manager = content.taskManager
    person.make("twice", 0)
    with pytest.raises(Exception, match="twice"):
        person.make("twice", 0)
    wanted = Collector.FilterSpec(
        objectSet=[Collector.ObjectSpec(obj=task) for task in manager.recentTask],
        propSet=[Collector.PropertySpec(type=vim.Task, pathSet=["info.error"])],
    )
    arguments = [wanted], Collector.RetrieveOptions()
    found, _ = ask(content.propertyCollector, "RetrievePropertiesEx", *arguments)
    faults = [row["info.error"] for _, row in found if row]
    assert any(isinstance(fault, vim.fault.DuplicateName) for fault in faults)


def test_a_fault_is_raised(person: ByHand) -> None:
    content = person.vcenter.admin._session.content
    gone = vim.VirtualMachine("vm-none", content.propertyCollector._GetStub())
    wanted = Collector.FilterSpec(
        objectSet=[Collector.ObjectSpec(obj=gone)],
        propSet=[Collector.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
    )
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        ask(
            content.propertyCollector,
            "RetrievePropertiesEx",
            [wanted],
            Collector.RetrieveOptions(),
        )
