"""What the stack's state says, as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from permafrost.adapters.pulumi_stack.checkpoint import (
    VM_TYPE,
    Pending,
    foreign_vms,
    is_compressed,
    known_vms,
    pending_operations,
    read_latest,
    secrets_provider,
    secrets_settings,
)

CLOUD = {"type": "cloud", "state": {"url": "awskms://key", "encryptedkey": "a2V5"}}
BY_PASSPHRASE = {"type": "passphrase", "state": {"salt": "v1:abc"}}


def write_state(folder: Path, latest: object) -> Path:
    path = folder / ".pulumi/stacks/permafrost/lab.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"version": 3, "checkpoint": {"stack": "lab", "latest": latest}}))
    return path


def vm(name: str, note: str = "", around: str = "") -> dict[str, Any]:
    urn = f"urn:pulumi:lab::permafrost::{around}{VM_TYPE}::{name}"
    return {"urn": urn, "type": VM_TYPE, "inputs": {"annotation": note} if note else None}


def test_a_stack_that_was_never_made_is_none_and_a_fresh_one_is_empty(tmp_path: Path) -> None:
    assert read_latest(tmp_path, "permafrost", "lab") is None
    write_state(tmp_path, None)
    assert read_latest(tmp_path, "permafrost", "lab") == {}
    assert read_latest(tmp_path, "permafrost", "other") is None


def test_a_compressed_state_is_left_to_the_engine(tmp_path: Path) -> None:
    path = write_state(tmp_path, None)
    assert not is_compressed(tmp_path, "permafrost", "lab")
    path.with_name("lab.json.gz").write_bytes(b"")
    assert is_compressed(tmp_path, "permafrost", "lab")


def test_a_fresh_stack_has_nothing_pending() -> None:
    assert pending_operations({}) == ()


def test_a_creation_that_was_cut_is_found_with_its_node() -> None:
    entry = {"resource": vm("lab-chat-01"), "type": "creating"}
    latest = {"resources": [], "pending_operations": [entry]}
    assert pending_operations(latest) == (Pending("creating", VM_TYPE, "lab-chat-01"),)


def test_a_vm_is_known_by_its_type_and_not_by_the_component_around_it() -> None:
    assert known_vms({}) == frozenset()
    around = "permafrost:infra:InferenceVm"
    component = {"urn": f"urn:pulumi:lab::permafrost::{around}::lab-chat-01", "type": around}
    latest = {"resources": [component, vm("lab-chat-02", around=f"{around}$")]}
    assert known_vms(latest) == {"lab-chat-02"}


def test_vms_of_another_site_are_known_by_their_annotation() -> None:
    ours = vm("lab-chat-01", "Permafrost: site lab, node lab-chat-01, endpoint chat")
    theirs = vm("lab-2-chat-01", "Permafrost: site lab-2, node lab-2-chat-01, endpoint chat")
    nobodys = [vm("lab-chat-02"), vm("lab-chat-03", "somebody's note")]
    latest = {"resources": [ours, theirs, *nobodys]}
    assert foreign_vms(latest, "lab") == ("lab-2-chat-01",)
    assert foreign_vms({"resources": [ours, *nobodys]}, "lab") == ()


def test_the_provider_is_named_as_a_site_file_names_it() -> None:
    assert secrets_provider({}) is None
    assert secrets_provider({"secrets_providers": BY_PASSPHRASE}) == "passphrase"
    assert secrets_provider({"secrets_providers": CLOUD}) == "awskms://key"
    assert secrets_provider({"secrets_providers": {"type": "service", "state": {}}}) == "service"


def test_the_providers_settings_can_be_had_from_the_state() -> None:
    assert secrets_settings({}) == {}
    assert secrets_settings({"secrets_providers": BY_PASSPHRASE}) == {"encryptionsalt": "v1:abc"}
    assert secrets_settings({"secrets_providers": CLOUD}) == {
        "secretsprovider": "awskms://key",
        "encryptedkey": "a2V5",
    }
