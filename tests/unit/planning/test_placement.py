"""Placement in the cases that people meet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from permafrost.errors import Refused
from permafrost.planning.placement import GpuFacts, HostFacts, Placement, Slot, plan_placement
from permafrost.planning.snapshot import VmFacts
from permafrost.site.model import Site
from tests.fakes.graphics import L40S, cards
from tests.fakes.site import small_site

KIND = "10de:2330"


def hosts(count: int, gpus: int = 2, used_by: str = "") -> list[HostFacts]:
    return [
        HostFacts(
            f"esx-{i:02}",
            f"host-{i}",
            True,
            False,
            tuple(GpuFacts(f"0000:{j:02x}:00.0", KIND, used_by) for j in range(gpus)),
        )
        for i in range(1, count + 1)
    ]


@pytest.fixture
def site() -> Site:
    return small_site()


def test_each_replica_has_its_own_host_and_device(site: Site) -> None:
    found = plan_placement(site, hosts(3), Placement())
    assert [found[f"lab-chat-0{i}"].host for i in (1, 2, 3)] == ["esx-01", "esx-02", "esx-03"]
    assert found["lab-chat-01"].gpus == ("0000:00:00.0",)
    assert found["lab-pulse-01"].gpus == ("0000:01:00.0",)
    assert found["lab-edge-01"].gpus == ()


def test_a_host_in_maintenance_moves_nothing(site: Site) -> None:
    before = plan_placement(site, hosts(4), Placement())
    away = [replace(h, in_maintenance=h.name == "esx-02") for h in hosts(4)]
    assert plan_placement(site, away, before) == before
    lost = [replace(h, connected=h.name != "esx-03") for h in hosts(4)]
    assert plan_placement(site, lost, before) == before


def test_nothing_new_goes_to_a_host_in_maintenance(site: Site) -> None:
    away = [replace(h, in_maintenance=h.name == "esx-02") for h in hosts(4)]
    assert "esx-02" not in {s.host for s in plan_placement(site, away, Placement()).values()}


def test_a_removed_host_moves_only_what_stood_there(site: Site) -> None:
    before = plan_placement(site, hosts(4), Placement())
    after = plan_placement(site, [h for h in hosts(4) if h.name != "esx-02"], before)
    moved = {n for n in before if before[n] != after[n]}
    assert moved == {n for n in before if before[n].host == "esx-02"}


def test_a_lost_record_is_read_from_what_stands(site: Site) -> None:
    standing = [
        replace(h, gpus=(replace(h.gpus[0], used_by=f"lab-chat-0{4 - i}"), h.gpus[1]))
        for i, h in enumerate(hosts(3), start=1)
    ]
    found = plan_placement(site, standing, Placement())
    assert found["lab-chat-03"] == Slot("esx-01", "host-1", ("0000:00:00.0",))


def test_a_swapped_device_is_replaced_on_the_same_host(site: Site) -> None:
    before = plan_placement(site, hosts(3), Placement())
    changed = hosts(3)
    gpus = (GpuFacts("0000:77:00.0", KIND), changed[0].gpus[1])
    changed[0] = replace(changed[0], gpus=gpus)
    after = plan_placement(site, changed, before)
    assert after["lab-chat-01"] == Slot("esx-01", "host-1", ("0000:77:00.0",))
    assert {n for n in before if before[n] != after[n]} == {"lab-chat-01"}


def test_refusals_say_all_that_is_missing(site: Site) -> None:
    with pytest.raises(Refused) as caught:
        plan_placement(site, [*hosts(2), *hosts(3, used_by="other")[2:]], Placement())
    problems = caught.value.problems
    assert [(p.code, p.path) for p in problems] == [
        ("GPUS_TOO_FEW", "inference.chat.replicas"),
        ("GPUS_TOO_FEW", "inference.pulse.replicas"),
    ]
    assert "esx-03: 0 of 2 usable, held by other" in problems[0].message
    with pytest.raises(Refused, match="FAILURE_DOMAINS_TOO_FEW"):
        plan_placement(site, hosts(2), Placement())
    with pytest.raises(Refused, match="no host is known"):
        plan_placement(site, [], Placement())


def test_room_is_made_by_moving_when_there_is_no_other_way() -> None:
    """chat may stand anywhere and stands where pulse must: only then it gives way."""
    site = small_site(
        chat={"replicas": 1, "min_ready": 1},
        pulse={"replicas": 2, "min_ready": 1},
    )
    one_each = hosts(3, gpus=1)
    record = Placement(
        {
            "lab-chat-01": Slot("esx-01", "host-1", ("0000:00:00.0",)),
            "lab-pulse-01": Slot("esx-02", "host-2", ("0000:00:00.0",)),
        }
    )
    found = plan_placement(site, one_each, record)
    assert found["lab-chat-01"].host == "esx-01"
    assert found["lab-pulse-02"].host == "esx-03"


def racks(site: Site, count: int, per_domain: int = 1, level: str = "rack") -> Site:
    values = site.model_dump(mode="json", by_alias=True)
    values["failure_domains"] = {"level": level, "members_per_domain": per_domain}
    values["hosts"] = {
        f"esx-{i:02}": {"rack": f"r{i % count}", "room": f"hall-{i % 2}"} for i in range(1, 20)
    }
    return Site.model_validate(values)


def domains(site: Site, found: Placement, endpoint: str) -> list[str | None]:
    return sorted(
        str(site.hosts[slot.host].rack) for node, slot in found.items() if endpoint in node
    )


def test_replicas_stand_in_racks_of_their_own(site: Site) -> None:
    found = plan_placement(racks(site, 3), hosts(6), Placement())
    assert domains(racks(site, 3), found, "chat") == ["r0", "r1", "r2"]
    assert domains(racks(site, 3), found, "pulse") == ["r0", "r1", "r2"]
    with pytest.raises(Refused, match="FAILURE_DOMAINS_TOO_FEW"):
        plan_placement(racks(site, 2), hosts(6), Placement())


def test_several_in_a_rack_are_spread_evenly() -> None:
    site = racks(small_site(chat={"replicas": 4, "min_ready": 2}), 3, per_domain=2)
    found = plan_placement(site, hosts(9), Placement())
    assert domains(site, found, "chat") in (
        ["r0", "r0", "r1", "r2"],
        ["r0", "r1", "r1", "r2"],
        ["r0", "r1", "r2", "r2"],
    )
    assert len({s.host for n, s in found.items() if "chat" in n}) == 4


def test_a_host_without_a_label_gets_nothing(site: Site) -> None:
    values = racks(site, 3).model_dump(mode="json", by_alias=True)
    del values["hosts"]["esx-01"]
    found = plan_placement(Site.model_validate(values), hosts(6), Placement())
    assert "esx-01" not in {s.host for s in found.values()}
    with pytest.raises(Refused, match="esx-01: no label says"):
        plan_placement(Site.model_validate(values), hosts(3), Placement())


def test_relabelled_racks_move_as_little_as_possible(site: Site) -> None:
    before = plan_placement(racks(site, 3), hosts(6), Placement())
    values = racks(site, 3).model_dump(mode="json", by_alias=True)
    where = before["lab-chat-01"].host
    other = before["lab-chat-02"].host
    values["hosts"][where]["rack"] = values["hosts"][other]["rack"]
    values["hosts"][where]["room"] = values["hosts"][other]["room"]
    after = plan_placement(Site.model_validate(values), hosts(6), before)
    moved = {n for n in before if before[n].host != after[n].host}
    assert len([n for n in moved if "chat" in n]) == 1


def sized(found: list[HostFacts], cpus: int, memory_mib: int) -> list[HostFacts]:
    return [replace(h, cpus=cpus, memory_mib=memory_mib) for h in found]


def test_memory_and_cpus_limit_what_a_host_takes(site: Site) -> None:
    """Each of two endpoints' replicas has 8192 MiB and 4 CPUs; hosts reserve 8192 MiB."""
    plan_placement(site, sized(hosts(3), 16, 8192 * 3 + 2048), Placement())
    with pytest.raises(Refused) as caught:
        plan_placement(site, sized(hosts(3), 16, 8192 * 2 + 4096), Placement())
    assert "the nearest possible: edge 1 of 1, " in str(caught.value)
    with pytest.raises(Refused, match="0 of 8192 MiB to give"):
        plan_placement(site, sized(hosts(3), 16, 8192), Placement())
    with pytest.raises(Refused, match="3 of 4 CPUs to give"):
        plan_placement(site, sized(hosts(3), 3, 1 << 20), Placement())


def test_what_others_have_reserved_is_not_given_away(site: Site) -> None:
    roomy = sized(hosts(3), 64, 8192 * 4)
    other = VmFacts("other", "vm-9", "u", "esx-02", True, memory_reservation_mib=8192 * 2)
    plan_placement(site, roomy, Placement(), [replace(other, is_on=False)])
    with pytest.raises(Refused):
        plan_placement(site, roomy, Placement(), [other])


def test_what_stands_stays_on_a_host_that_became_too_small(site: Site) -> None:
    before = plan_placement(site, hosts(3), Placement())
    assert plan_placement(site, sized(hosts(3), 2, 1024), before) == before


def test_vgpus_are_placed_by_profile() -> None:
    gpu = {"mode": "vgpu", "profile": "grid_l40s-12c", "vendor_device": None}
    site = small_site(chat={"gpu": gpu}, pulse={"replicas": 1, "min_ready": 1})
    with_vgpu = [replace(h, cards=cards(1), vgpu_profiles=L40S) for h in hosts(3)]
    found = plan_placement(site, with_vgpu, Placement())
    assert found["lab-chat-01"].gpus == (), "vCenter picks the device"
    assert plan_placement(site, with_vgpu, found) == found
    with pytest.raises(Refused, match="does not offer vGPU profile grid_l40s-12c"):
        plan_placement(site, hosts(3), Placement())


def test_several_devices_of_mixed_counts_are_packed() -> None:
    """Largest first would fill the wrong hosts: one way only, and it is found."""
    site = small_site(
        chat={"replicas": 1, "min_ready": 1, "gpu": gpu_of(3)},
        pulse={"replicas": 2, "min_ready": 1, "gpu": gpu_of(2)},
    )
    some = [*hosts(1, gpus=3), *hosts(3, gpus=2)[1:]]
    found = plan_placement(site, some, Placement())
    assert found["lab-chat-01"].host == "esx-01"
    assert len(found["lab-chat-01"].gpus) == 3


def gpu_of(count: int) -> dict[str, object]:
    return {"mode": "passthrough", "vendor_device": KIND, "count": count}


def test_the_nearest_possible_is_said() -> None:
    site = small_site(chat={"replicas": 5, "min_ready": 3})
    with pytest.raises(Refused) as caught:
        plan_placement(site, hosts(4), Placement())
    (problem,) = caught.value.problems
    assert problem.path == "inference.chat.replicas"
    assert "1 missing" in problem.message
    assert problem.hint == (
        "free or add 1 host with 1 x 10de:2330 each, or set replicas to 4; "
        "the nearest possible: edge 1 of 1, chat 4 of 5, pulse 3 of 3"
    )


def test_a_large_site_is_placed() -> None:
    site = small_site(
        chat={"replicas": 900, "min_ready": 800}, pulse={"replicas": 900, "min_ready": 800}
    )
    values = site.model_dump(mode="json", by_alias=True)
    values["network"].update(
        subnet="10.64.0.0/16", gateway="10.64.0.1", addresses="10.64.1.0-10.64.20.0"
    )
    large = Site.model_validate(values)
    assert len(plan_placement(large, hosts(1000), Placement())) == 1801
    with pytest.raises(Refused) as caught:
        plan_placement(large, hosts(800), Placement())
    assert len(str(caught.value)) < 2000, "hosts are counted, not listed"
    assert "chat 800 of 900" in str(caught.value)
