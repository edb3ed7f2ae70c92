"""What stays when failure domains are lost."""

from __future__ import annotations

from permafrost.planning.capacity import capacity_of
from permafrost.planning.knowledge import first_coordinators, milvus_roles
from permafrost.planning.slots import Placement, Slot
from permafrost.site.model import Site
from tests.fakes.site import document, small_site
from tests.fakes.sites import example_site


def test_worst_case_first() -> None:
    """Five replicas, two in a rack: the first rack lost takes two."""
    values = document()
    values["failure_domains"] = {"level": "rack", "members_per_domain": 2}
    values["hosts"] = {f"h{i}": {"rack": f"r{i // 2}"} for i in range(6)}
    values["inference"]["chat"].update(replicas=5, min_ready=3)
    site = Site.model_validate(values)
    slots = {f"lab-chat-{i + 1:02}": Slot(f"h{i}", f"m{i}") for i in range(5)}
    (chat,) = capacity_of(site, Placement(slots))
    assert (chat.members, chat.domains, chat.left_after) == (5, 3, (3, 1, 0))
    assert chat.survives == 1
    assert chat.sentence("rack") == (
        "chat: 5 on 3 racks; any rack lost leaves 3 (needs 3), 3 of 5 requests at once; survives 1"
    )


def test_nothing_placed_has_no_capacity() -> None:
    assert capacity_of(small_site(), Placement()) == ()


def test_a_knowledge_tier_needs_its_majority_and_spreads_its_roles() -> None:
    site = example_site("three-racks")
    slots = {f"oslo-knowledge-0{i}": Slot(f"esx-{r}1.example.net", "m") for i, r in
             enumerate("abc", start=1)}  # fmt: skip
    (knowledge,) = capacity_of(site, Placement(slots))
    assert (knowledge.needed, knowledge.left_after, knowledge.survives) == (2, (2, 1, 0), 1)
    roles = milvus_roles(site)
    assert all(roles[node]["etcd"] == 1 for node in slots)
    assert {n for n in slots if "coordinators" in roles[n]} != set(slots)
    wanted = site.knowledge.milvus.roles.model_dump() if site.knowledge else {}
    first = first_coordinators(site).name
    for role, count in wanted.items():
        homes = [node for node in slots if role != "query" or node != first]
        shares = [roles[node].get(role, 0) for node in homes]
        assert sum(shares) == count
        assert max(shares) - min(shares) <= 1
    assert milvus_roles(small_site()) == {}
