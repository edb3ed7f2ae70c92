"""Placement in the cases that people meet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from permafrost.errors import Refused
from permafrost.planning.placement import GpuFacts, HostFacts, Placement, Slot, plan_placement
from permafrost.site.model import Site
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


def test_a_large_site_is_quick() -> None:
    site = small_site(
        chat={"replicas": 900, "min_ready": 800}, pulse={"replicas": 900, "min_ready": 800}
    )
    values = site.model_dump(mode="json", by_alias=True)
    values["network"].update(
        subnet="10.64.0.0/16", gateway="10.64.0.1", addresses="10.64.1.0-10.64.20.0"
    )
    large = Site.model_validate(values)
    assert len(plan_placement(large, hosts(1000), Placement())) == 1801
