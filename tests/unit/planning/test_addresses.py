"""What stands keeps its address, or the site file is refused."""

from __future__ import annotations

from permafrost.planning.addresses import moved_addresses
from permafrost.planning.snapshot import VmFacts
from permafrost.site.model import Site
from permafrost.topology import nodes
from tests.fakes.site import document, small_site


def standing(site: Site) -> list[VmFacts]:
    return [VmFacts(n.name, "m", "u", "h", True, address=str(n.address)) for n in nodes(site)]


def test_a_group_that_grows_would_move_those_behind_it() -> None:
    live = standing(small_site())
    assert moved_addresses(small_site(), live) == []
    larger = small_site(chat={"replicas": 4})
    found = moved_addresses(larger, live)
    assert [(p.code, p.path) for p in found] == [
        ("ADDRESS_WOULD_CHANGE", f"lab-pulse-0{i}") for i in (1, 2, 3)
    ]
    assert "10.64.1.24" in found[0].message
    assert "inference.pulse" in found[0].hint


def test_ranges_of_their_own_keep_groups_apart() -> None:
    own = {"chat": {"addresses": "10.64.1.120-10.64.1.139"}}
    live = standing(small_site(**own))
    own["chat"]["replicas"] = 9  # type: ignore[assignment]
    assert moved_addresses(small_site(**own), live) == []


def test_addresses_that_the_site_does_not_hand_out_do_not_count() -> None:
    values = document()
    values["edge"] = {"vip": "10.64.1.10"}
    site = Site.model_validate(values)
    edge = VmFacts("lab-edge-01", "m", "u", "h", True, address="10.64.1.10")
    assert moved_addresses(site, [edge]) == []
    assert moved_addresses(site, [VmFacts("lab-edge-01", "m", "u", "h", True, address="")]) == []
    assert (
        moved_addresses(site, [VmFacts("other", "m", "u", "h", True, address="10.64.1.21")]) == []
    )
