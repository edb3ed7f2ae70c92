"""Faults are written down before they act, and healed from what was written."""

from collections.abc import Mapping

import pytest

from lab.errors import LabError
from lab.faults import apply as faults
from lab.faults import kinds
from lab.faults.model import Kind, number
from lab.faults.record import FaultRecord
from lab.instance.model import Instance

Done = list[tuple[str, str]]


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Done:
    """A kind ``pretend`` that notes what is done to whom."""
    seen: Done = []

    def apply(_: Instance, target: str, undo: Mapping[str, str]) -> None:
        seen.append(("apply", target))
        if target == "breaks":
            raise LabError("X", "half done")

    def heal(_: Instance, target: str, undo: Mapping[str, str]) -> None:
        assert undo == {"was": target}
        seen.append(("heal", target))

    pretend = Kind("", lambda _, target, options: {"was": target}, apply, heal)
    monkeypatch.setitem(kinds.KINDS, "pretend", pretend)

    def never(_: Instance, target: str, undo: Mapping[str, str]) -> None:
        raise LabError("Y", "cannot")

    stubborn = Kind("", lambda _, target, options: {"was": target}, apply, never)
    monkeypatch.setitem(kinds.KINDS, "stubborn", stubborn)
    return seen


def test_healing_all_undoes_the_last_first(instance: Instance, done: Done) -> None:
    first = faults.apply(instance, "pretend", "a", {})
    second = faults.apply(instance, "pretend", "b", {})
    assert [f.id for f in FaultRecord(instance.faults_file).active()] == [first.id, second.id]
    assert [f.id for f in faults.heal(instance, "all")] == [second.id, first.id]
    assert done[2:] == [("heal", "b"), ("heal", "a")]
    assert faults.heal(instance, "all") == []


def test_a_fault_that_broke_half_way_can_be_healed(instance: Instance, done: Done) -> None:
    with pytest.raises(LabError, match="half done"):
        faults.apply(instance, "pretend", "breaks", {})
    faults.heal(instance, "all")
    assert done[-1] == ("heal", "breaks")


@pytest.mark.parametrize("ends", [True, False])
def test_a_machine_that_ends_while_its_fault_is_healed_is_asked_again(
    ends: bool, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ran inside of it was killed with it; a heal that fails on one that runs on, fails."""
    asked: list[str] = []
    first_process: dict[str, int | None] = {"b": 41}

    def heal(_: Instance, target: str, undo: Mapping[str, str]) -> None:
        asked.append(target)
        if first_process["b"] == 41:
            if ends:
                first_process["b"] = 97
            raise LabError("LAB_COMMAND_FAILED", "exit -9")

    kind = Kind("", lambda *_: {}, lambda *_: None, heal)
    monkeypatch.setitem(kinds.KINDS, "pretend", kind)
    monkeypatch.setattr(faults.guest, "init_pid", lambda node: first_process.get(node.name))
    monkeypatch.setattr(faults.Machine, "is_on", True)
    monkeypatch.setattr(faults, "ENDS_S", 0.05)
    fault = faults.apply(instance, "pretend", "b", {})
    if ends:
        assert faults.heal(instance, "all") == [fault]
        assert asked == ["b", "b"]
        return
    with pytest.raises(LabError, match="FAULT_NOT_HEALED"):
        faults.heal(instance, "all")
    assert asked == ["b"]


def test_one_fault_is_healed_once(instance: Instance, done: Done) -> None:
    fault = faults.apply(instance, "pretend", "a", {})
    faults.heal(instance, fault.id)
    with pytest.raises(LabError, match="FAULT_NOT_ACTIVE"):
        faults.heal(instance, fault.id)
    assert done == [("apply", "a"), ("heal", "a")]


def test_a_line_that_was_cut_short_is_no_fault(instance: Instance, done: Done) -> None:
    fault = faults.apply(instance, "pretend", "a", {})
    with instance.faults_file.open("a") as file:
        file.write('{"event": "heal')
    assert [f.id for f in FaultRecord(instance.faults_file).active()] == [fault.id]


@pytest.mark.parametrize(
    ("kind", "target", "code"),
    [
        ("nonsense", "x", "FAULT_UNKNOWN"),
        ("machine-kill", "lab-chat-01", "MACHINE_UNKNOWN"),
        ("machine-cut", "lab-chat-01", "MACHINE_UNKNOWN"),
        ("host-lost", "lab-esx-99", "HOST_UNKNOWN"),
        ("service-stop", "lab-chat-01", "TARGET_INVALID"),
        ("service-kill", "nobody:ssh.service", "TARGET_INVALID"),
    ],
)
def test_a_wrong_target_is_refused_and_not_recorded(
    instance: Instance, kind: str, target: str, code: str
) -> None:
    with pytest.raises(LabError, match=code):
        faults.apply(instance, kind, target, {})
    assert not instance.faults_file.exists()


def test_an_option_that_no_kind_knows_is_refused(instance: Instance, done: Done) -> None:
    with pytest.raises(LabError, match="FAULT_OPTION_UNKNOWN"):
        faults.apply(instance, "pretend", "a", {"loss": "1"})
    assert done == []


def test_one_that_cannot_be_healed_keeps_no_other_from_it(instance: Instance, done: Done) -> None:
    good = faults.apply(instance, "pretend", "a", {})
    bad = faults.apply(instance, "stubborn", "b", {})
    with pytest.raises(LabError, match=f"FAULT_NOT_HEALED: {bad.id} stubborn b"):
        faults.heal(instance, "all")
    assert ("heal", "a") in done
    assert [f.id for f in FaultRecord(instance.faults_file).active()] == [bad.id]
    assert good.id != bad.id


def test_a_kind_that_lasts_is_applied_once_to_a_target(instance: Instance, done: Done) -> None:
    fault = faults.apply(instance, "pretend", "a", {})
    with pytest.raises(
        LabError, match=f"FAULT_ALREADY_ACTIVE: pretend of a is active as {fault.id}"
    ):
        faults.apply(instance, "pretend", "a", {})
    faults.apply(instance, "pretend", "b", {})
    faults.heal(instance, fault.id)
    faults.apply(instance, "pretend", "a", {})


def test_a_refusal_says_so_by_its_exit_status(instance: Instance, done: Done) -> None:
    with pytest.raises(LabError) as refused:
        faults.apply(instance, "pretend", "a", {"loss": "1"})
    assert refused.value.exit_status == 3
    with pytest.raises(LabError) as broken:
        faults.apply(instance, "pretend", "breaks", {})
    assert broken.value.exit_status == 4


@pytest.mark.parametrize("text", ["2", "-1", "nan", "much", ""])
def test_numbers_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(LabError, match="FAULT_OPTION_INVALID"):
        number({"loss": text}, "loss", 0, 1)


def test_every_kind_says_what_it_does() -> None:
    assert all(kind.about for kind in kinds.KINDS.values())
    assert set(kinds.KINDS) >= {"host-lost", "service-hang", "network-relay", "vip-move"}
