"""What an interrupted run left, read from the stack's state."""

from __future__ import annotations

import json
from pathlib import Path

from permafrost.adapters.pulumi_stack.repair import (
    Pending,
    known_vms,
    pending_operations,
    remove_damaged_notes,
)

VM = "vsphere:index/virtualMachine:VirtualMachine"


def write_state(backend: Path, latest: object) -> None:
    path = backend / ".pulumi/stacks/permafrost/lab.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"version": 3, "checkpoint": {"stack": "lab", "latest": latest}}))


def test_a_stack_that_was_never_made_has_nothing_pending(tmp_path: Path) -> None:
    assert pending_operations(tmp_path, "permafrost", "lab") == ()


def test_a_fresh_stack_has_nothing_pending(tmp_path: Path) -> None:
    write_state(tmp_path, None)
    assert pending_operations(tmp_path, "permafrost", "lab") == ()


def test_a_creation_that_was_cut_is_found_with_its_node(tmp_path: Path) -> None:
    entry = {
        "resource": {"urn": f"urn:pulumi:lab::permafrost::{VM}::lab-chat-01", "type": VM},
        "type": "creating",
    }
    write_state(tmp_path, {"resources": [], "pending_operations": [entry]})
    assert pending_operations(tmp_path, "permafrost", "lab") == (
        Pending("creating", VM, "lab-chat-01"),
    )


def test_a_vm_is_known_by_its_type_and_not_by_the_component_around_it(tmp_path: Path) -> None:
    assert known_vms(tmp_path, "permafrost", "lab") == frozenset()
    around = "permafrost:infra:InferenceVm"
    write_state(
        tmp_path,
        {
            "resources": [
                {"urn": f"urn:pulumi:lab::permafrost::{around}::lab-chat-01", "type": around},
                {"urn": f"urn:pulumi:lab::permafrost::{around}::lab-chat-02", "type": around},
                {"urn": f"urn:pulumi:lab::permafrost::{around}${VM}::lab-chat-02", "type": VM},
            ]
        },
    )
    assert known_vms(tmp_path, "permafrost", "lab") == {"lab-chat-02"}


def test_a_note_that_was_cut_off_is_removed_and_the_state_beside_it_stays(tmp_path: Path) -> None:
    write_state(tmp_path, None)
    folder = tmp_path / ".pulumi/stacks/permafrost"
    empty, half, whole = (folder / f"{name}.json.attrs" for name in ("lab", "half", "whole"))
    empty.write_text("")
    half.write_text('{"user.content_type": "app')
    whole.write_text('{"md5": ""}')
    assert remove_damaged_notes(tmp_path) == 2
    assert not empty.exists()
    assert not half.exists()
    assert whole.exists()
    assert (folder / "lab.json").exists()
    assert remove_damaged_notes(tmp_path / "none") == 0
