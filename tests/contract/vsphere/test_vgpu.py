"""vGPUs as vCenter states them of a host: read, reckoned, placed, explained as vCenter refuses.

The lab's vCenter is told how many of each profile a card takes (a table of NVIDIA's); that, and
who runs on which card, it holds to at power-on. We reckon it from names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import SoapAdapter

from lab.provider.vsphere import vim
from permafrost.adapters.vsphere.answer import read_answer
from permafrost.adapters.vsphere.traversal import PROPERTIES, question
from permafrost.errors import Failed, Refused
from permafrost.planning.drift import find_drift
from permafrost.planning.drift_report import OF_ITSELF, DriftCode
from permafrost.planning.placement import Placement, plan_placement
from permafrost.planning.preflight_power import Starting, power_on_checks
from permafrost.planning.preflight_report import PreflightLevel
from permafrost.planning.vgpu import most_on_card, rooms_for
from permafrost.site.model import Site
from tests.contract.vsphere.alike import differences
from tests.contract.vsphere.byhand import GPUS, ByHand
from tests.contract.vsphere.person import MEMORY_MIB
from tests.contract.vsphere.test_answer import pages

L40S = {f"grid_l40s-{gib}c": 48 // gib for gib in (4, 6, 8, 12, 16, 24, 48)}
QUARTER, HALF = "grid_l40s-12c", "grid_l40s-24c"
SHARING = (0, 1, 2)
"""Hosts whose first card is shared out; the fourth has none."""


class Sharing(ByHand):
    """A site whose hosts, but one, share out a card as vGPUs; the other card is passed through."""

    def _shape(self, configuration: dict[str, Any]) -> None:
        super()._shape(configuration)
        for index in SHARING:
            card = configuration["hosts"][index]["gpus"][0]
            card |= {"device": "26b9", "name": "NVIDIA L40S", "vgpus": L40S, "memory_gib": 48}

    def give(self, name: str, *profiles: str, host: int = 0, reserved: int = MEMORY_MIB) -> None:
        """Make a VM that has vGPUs and is off."""
        self.make(name, host, reserved_mib=reserved)
        for index, profile in enumerate(profiles):
            backing = vim.vm.device.VirtualPCIPassthrough.VmiopBackingInfo(vgpu=profile)
            device = vim.vm.device.VirtualPCIPassthrough(key=-100 - index, backing=backing)
            spec = vim.vm.device.VirtualDeviceSpec(operation="add", device=device)
            self.reconfigure(name, deviceChange=[spec])


@pytest.fixture
def sharing(vcenter_program: Path, tmp_path: Path) -> Iterator[Sharing]:
    with Sharing(vcenter_program, tmp_path) as person:
        yield person


def asking(person: ByHand, profile: str, replicas: int = 3) -> Site:
    values = person.site.model_dump(mode="json", by_alias=True)
    chat = values["inference"]["chat"]
    chat["gpu"] = {"mode": "vgpu", "profile": profile, "count": 1}
    chat |= {"replicas": replicas, "min_ready": 1}
    return Site.model_validate(values)


def test_what_vcenter_states_is_read_by_the_one_traversal(sharing: Sharing) -> None:
    sharing.give("theirs", QUARTER, HALF, host=3)
    sharing.give("user", HALF)
    sharing.power_on("user")
    seen = sharing.hypervisor.observe()
    first, last = seen.hosts[0], seen.hosts[3]
    assert first.vgpu_profiles == tuple(sorted(L40S))
    (card,) = first.cards
    assert (card.address, card.name, card.is_shared) == (GPUS[0], "NVIDIA L40S", True)
    assert card.users == (("user", HALF),)
    assert (last.cards, last.vgpu_profiles) == ((), ())
    theirs = seen.vm("theirs")
    assert theirs is not None
    assert (theirs.vgpus, theirs.gpus) == ((QUARTER, HALF), ())
    assert {p: most_on_card(p, first.vgpu_profiles) for p in L40S} == L40S
    sharing.power_off("user")
    assert sharing.hypervisor.observe().hosts[0].cards[0].users == ()


def test_our_reader_and_pyvmomis_make_the_same_of_it(sharing: Sharing) -> None:
    sharing.give("user", HALF, QUARTER)
    sharing.give("other", HALF)
    sharing.power_on("other")
    content = sharing.vcenter.admin._session.content
    stub = content.propertyCollector._GetStub()
    view = content.viewManager.CreateContainerView(content.rootFolder, list(PROPERTIES), True)
    ((kind, text),) = pages(content, question(view, content), None)
    theirs = SoapAdapter.SoapResponseDeserializer(stub).Deserialize(text, kind)
    assert list(differences(read_answer(text, stub)[0], theirs)) == []
    assert text.count(b"<deviceName>NVIDIA L40S</deviceName>") >= len(SHARING)


def test_the_room_that_we_reckon_is_what_vcenter_lets_start(sharing: Sharing) -> None:
    """VM after VM, until vCenter refuses: it is then that we see no room."""
    for number in range(5):
        name = f"v{number}"
        sharing.give(name, QUARTER)
        seen = sharing.hypervisor.observe()
        assert rooms_for((QUARTER,), seen.hosts[0], seen.vms, set())[QUARTER] == 4 - number
        if number < 4:
            sharing.power_on(name)
    # A card of vGPUs of one size has no room for another.
    sharing.power_off("v1")
    seen = sharing.hypervisor.observe()
    assert rooms_for((HALF,), seen.hosts[0], seen.vms, set()) == {HALF: 0}
    sharing.give("half", HALF)
    with pytest.raises(Failed, match="graphics resource"):
        sharing.hypervisor.power_on("half", deadline_s=20)
    sharing.power_on("v4")


def problems(person: ByHand, name: str) -> list[str]:
    inventory = person.hypervisor.observe()
    vm = inventory.vm(name)
    assert vm is not None
    checks = power_on_checks(Starting.of(vm), inventory)
    return [c.code for c in checks if c.level is PreflightLevel.PROBLEM]


@pytest.mark.parametrize(
    ("profile", "host", "reserved", "code", "said"),
    [
        (QUARTER, 0, MEMORY_MIB, "PREFLIGHT_VGPU_TAKEN", "graphics resource"),
        (QUARTER, 3, MEMORY_MIB, "PREFLIGHT_VGPU_MISSING", "does not support the vGPU type"),
        ("grid_a100-40c", 1, MEMORY_MIB, "PREFLIGHT_VGPU_MISSING", "does not support"),
        (QUARTER, 1, 0, "PREFLIGHT_MEMORY_NOT_RESERVED", "should be equal to memsize"),
    ],
)
def test_the_preflight_names_the_cause_that_vcenter_then_gives(
    sharing: Sharing, profile: str, host: int, reserved: int, code: str, said: str
) -> None:
    sharing.give("user", HALF)
    sharing.power_on("user")
    sharing.give("v", profile, host=host, reserved=reserved)
    assert problems(sharing, "v") == [code]
    with pytest.raises(Failed, match=said):
        sharing.hypervisor.power_on("v", deadline_s=20)


def test_without_a_cause_it_starts(sharing: Sharing) -> None:
    sharing.give("v", QUARTER, QUARTER)
    assert problems(sharing, "v") == []
    sharing.hypervisor.power_on("v", deadline_s=20)


def test_a_site_is_placed_where_vcenter_states_the_profile(sharing: Sharing) -> None:
    site, seen = asking(sharing, QUARTER), sharing.hypervisor.observe()
    found = plan_placement(site, seen.hosts, Placement(), seen.vms)
    hosts = {found[f"lab-chat-0{n}"].host for n in (1, 2, 3)}
    assert hosts == {sharing.host_name(index) for index in SHARING}
    with pytest.raises(Refused, match="H3: does not offer vGPU profile grid_l40s-12c"):
        plan_placement(asking(sharing, QUARTER, 4), seen.hosts, Placement(), seen.vms)
    with pytest.raises(Refused) as caught:
        plan_placement(asking(sharing, "grid_a100-40c"), seen.hosts, Placement(), seen.vms)
    assert caught.value.code == "VGPU_PROFILE_MISSING"
    sharing.give("theirs", HALF)
    sharing.power_on("theirs")
    seen = sharing.hypervisor.observe()
    with pytest.raises(Refused, match="room for 0 x grid_l40s-12c, its cards used by theirs"):
        plan_placement(site, seen.hosts, Placement(), seen.vms)


def test_a_vgpu_changed_by_hand_or_a_host_without_it_is_drift(sharing: Sharing) -> None:
    site, seen = asking(sharing, QUARTER), sharing.hypervisor.observe()
    recorded = plan_placement(site, seen.hosts, Placement(), seen.vms)

    def drift() -> dict[str, set[DriftCode]]:
        found = find_drift(site, sharing.hypervisor.observe(), recorded=recorded)
        return {name: {d.code for d in found if d.target == name} & OF_ITSELF for name in names}

    names = ("lab-chat-01", "lab-chat-02", "lab-chat-03")
    sharing.give(names[0], QUARTER)
    sharing.give(names[1], HALF, host=1)
    sharing.give(names[2], QUARTER, host=3)
    assert drift() == {
        names[0]: set(),
        names[1]: {DriftCode.VGPU_CHANGED},
        names[2]: {DriftCode.VGPU_MISSING},
    }
    sharing.move(names[2], 2)
    sharing.reserve(names[0], 0)
    assert drift() == {
        names[0]: {DriftCode.RESERVATION_LOST},
        names[1]: {DriftCode.VGPU_CHANGED},
        names[2]: set(),
    }
