"""What a host has room for, from its cards, its profiles and who runs there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from permafrost.errors import Refused
from permafrost.planning.drift import find_drift
from permafrost.planning.drift_report import OF_ITSELF, DriftCode, blocks_deploy, blocks_drain
from permafrost.planning.placement import Placement, plan_placement
from permafrost.planning.preflight_power import Starting, power_on_checks
from permafrost.planning.preflight_report import PreflightLevel
from permafrost.planning.snapshot import GpuFacts, HostFacts, Inventory, VmFacts
from permafrost.planning.vgpu import missing_profile, most_on_card, rooms_for
from permafrost.site.model import Site
from tests.fakes.graphics import L40S, cards
from tests.fakes.site import small_site

KIND = "10de:2330"
QUARTER, HALF = "grid_l40s-12c", "grid_l40s-24c"
GPU = {"mode": "vgpu", "profile": QUARTER, "vendor_device": None}
MIG = ("1-10c", "1-20c", "2-20c", "3-40c", "4-40c", "7-80c", "80c", "20c")


def host(number: int, count: int = 1, *users: tuple[str, str], **other: Any) -> HostFacts:
    values = {"cards": cards(count, *users), "vgpu_profiles": L40S, **other}
    return HostFacts(f"esx-{number:02}", f"host-{number}", True, False, **values)


def room(host: HostFacts, profile: str = QUARTER, *vms: VmFacts, own: str = "") -> int:
    return rooms_for((profile,), host, vms, {own})[profile]


def test_how_many_a_card_takes_is_what_nvidia_says() -> None:
    """Tables of NVIDIA's vGPU user guide: L40S, H100 80 GB with MIG, M60."""
    assert [most_on_card(name, L40S) for name in L40S] == [12, 8, 6, 4, 3, 2, 1]
    h100 = tuple(f"nvidia_h100-{name}" for name in MIG)
    assert [most_on_card(name, h100) for name in h100] == [7, 4, 3, 2, 1, 1, 1, 4]
    m60 = ("grid_m60-0b", "grid_m60-1b", "grid_m60-8q")
    assert [most_on_card(name, m60) for name in m60] == [16, 8, 1]
    assert most_on_card("grid_a40-1b", ("grid_a40-1b", "grid_a40-48q")) == 32
    assert most_on_card("of-another-form", ("of-another-form",)) == 1
    assert most_on_card(QUARTER, ()) == 0


def test_what_runs_on_a_card_takes_from_it() -> None:
    assert room(host(1)) == 4
    assert room(host(1, 2)) == 8
    assert room(host(1, 1, ("theirs", QUARTER))) == 3
    assert room(host(1, 1, ("theirs", "grid_l40s-12q"))) == 3, "a size, whatever its series"
    assert room(host(1, 2, ("theirs", HALF))) == 4, "a card has vGPUs of one size at a time"
    assert room(host(1, 1, ("ours", HALF)), own="ours") == 4
    assert room(host(1, 1, ("theirs", ""))) == 0, "somebody of whom nothing is known"


def test_a_vm_that_no_card_names_takes_a_card() -> None:
    stray = VmFacts("stray", "vm-1", "", "esx-01", True, vgpus=(HALF,))
    assert room(host(1, 2), QUARTER, stray) == 4
    assert room(host(1, 2), QUARTER, replace(stray, is_on=False)) == 8
    assert room(host(1, 2), QUARTER, replace(stray, host="esx-02")) == 8
    assert room(host(1, 2), QUARTER, stray, own="stray") == 8
    assert room(host(1, 2, ("stray", HALF)), QUARTER, stray) == 4, "not twice"


def test_only_cards_that_are_shared_count_and_of_several_kinds_those_of_the_family() -> None:
    assert room(host(1, cards=cards(2, shared=False))) == 0
    both = (*cards(1), *(replace(c, address=f"b{c.address}") for c in cards(3, name="NVIDIA L4")))
    assert room(host(1, cards=both)) == 4
    unnamed = tuple(replace(c, name=f"card {c.name}x") for c in both)
    assert room(host(1, cards=unnamed)) == 4, "the kind of which there are fewest"


def test_cards_are_not_promised_to_two_profiles() -> None:
    one = rooms_for((QUARTER, HALF), host(1), (), set())
    assert one == {QUARTER: 4, HALF: 0}
    assert rooms_for((QUARTER, HALF), host(1), (), set(), turn=1) == {QUARTER: 0, HALF: 2}
    kept = host(1, 2, ("ours", HALF))
    assert rooms_for((QUARTER, HALF), kept, (), {"ours"}) == {QUARTER: 4, HALF: 2}


def vgpu_site() -> Site:
    return small_site(chat={"gpu": GPU}, pulse={"replicas": 1, "min_ready": 1})


def hosts(**other: Any) -> list[HostFacts]:
    gpu = (GpuFacts("0000:3b:00.0", KIND),)
    return [host(i, gpus=gpu, **other) for i in (1, 2, 3)]


def test_a_site_is_placed_by_what_hosts_state() -> None:
    found = plan_placement(vgpu_site(), hosts(), Placement())
    assert {found[f"lab-chat-0{i}"].host for i in (1, 2, 3)} == {"esx-01", "esx-02", "esx-03"}
    full = tuple(("theirs", QUARTER) for _ in range(4))
    with pytest.raises(Refused) as caught:
        plan_placement(vgpu_site(), [*hosts()[:2], replace(hosts()[2], cards=cards(1, *full))],
                       Placement())  # fmt: skip
    (problem,) = caught.value.problems
    assert problem.code == "GPUS_TOO_FEW"
    assert "esx-03: room for 0 x grid_l40s-12c, its cards used by theirs" in problem.message


def test_a_profile_that_nobody_offers_is_named() -> None:
    with pytest.raises(Refused) as caught:
        plan_placement(vgpu_site(), hosts(vgpu_profiles=(HALF,)), Placement())
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("VGPU_PROFILE_MISSING", "inference.chat.gpu.profile")
    assert f"does not offer vGPU profile {QUARTER} (it offers {HALF})" in problem.message
    assert "name a profile that hosts offer" in problem.hint
    for other, said in (
        ({"cards": ()}, "no card for vGPUs"),
        ({"cards": cards(1, shared=False)}, "no card is set to Shared Direct"),
    ):
        assert said in missing_profile(QUARTER, host(1, **other))
    with pytest.raises(Refused) as caught:
        plan_placement(vgpu_site(), [*hosts(cards=())[:1], *hosts()[1:]], Placement())
    assert caught.value.code == "GPUS_TOO_FEW", "one host offers it not; the others do"


def test_a_card_that_is_shared_out_is_not_passed_through() -> None:
    shared = tuple(replace(c, address="0000:3b:00.0") for c in cards(1))
    with pytest.raises(Refused) as caught:
        plan_placement(small_site(), hosts(cards=shared), Placement())
    assert {p.code for p in caught.value.problems} == {"GPUS_TOO_FEW"}
    plan_placement(small_site(pulse={"replicas": 1, "min_ready": 1},
                              chat={"gpu": {"mode": "none"}}), hosts(), Placement())  # fmt: skip


def problems(vm: Starting, *hosts: HostFacts, vms: tuple[VmFacts, ...] = ()) -> list[str]:
    checks = list(power_on_checks(vm, Inventory(hosts, vms)))
    assert all(c.hint for c in checks if c.level is PreflightLevel.PROBLEM)
    return [c.code for c in checks if c.level is PreflightLevel.PROBLEM]


def test_the_preflight_says_which_profile_is_missing() -> None:
    vm = Starting("lab-chat-01", "esx-01", (), 8192, 8192, (QUARTER,))
    assert problems(vm, host(1)) == []
    assert problems(vm, host(1, vgpu_profiles=(HALF,))) == ["PREFLIGHT_VGPU_MISSING"]
    assert problems(vm, host(1, 1, ("theirs", HALF))) == ["PREFLIGHT_VGPU_TAKEN"]
    assert problems(vm, host(1, 1, ("lab-chat-01", QUARTER))) == []
    assert problems(replace(vm, reserved_mib=0), host(1)) == ["PREFLIGHT_MEMORY_NOT_RESERVED"]


def test_a_vm_without_its_vgpu_or_on_a_host_without_it_is_drift() -> None:
    recorded = plan_placement(vgpu_site(), hosts(), Placement())
    vm = VmFacts(
        "lab-chat-01", "vm-1", "", "esx-01", True, memory_mib=8192,
        memory_reservation_mib=8192, vgpus=(QUARTER,),
    )  # fmt: skip

    def codes(vm: VmFacts, *some: HostFacts) -> set[DriftCode]:
        found = find_drift(vgpu_site(), Inventory(some, (vm,)), recorded=recorded)
        mine = [d for d in found if d.code in OF_ITSELF]
        if any("VGPU" in d.code for d in mine):
            assert blocks_deploy(mine)
            assert blocks_drain(mine, vm.name, "chat")
        return {d.code for d in mine}

    assert codes(vm, *hosts()) == set()
    assert codes(replace(vm, host="esx-02"), *hosts()) == set(), "it may be moved at any time"
    assert codes(replace(vm, vgpus=(HALF,)), *hosts()) == {DriftCode.VGPU_CHANGED}
    assert codes(replace(vm, vgpus=()), *hosts()) == {DriftCode.VGPU_CHANGED}
    assert codes(vm, *hosts(vgpu_profiles=(HALF,))) == {DriftCode.VGPU_MISSING}
    lost = replace(vm, memory_reservation_mib=0)
    assert codes(lost, *hosts()) == {DriftCode.RESERVATION_LOST}
