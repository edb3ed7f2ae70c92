"""Names and addresses that follow from a lab's id."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.instance import naming

IDS = st.from_regex(naming.ID_PATTERN, fullmatch=True)
LINUX_LINK_NAME = 15


def test_two_checkouts_have_two_ids(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    assert naming.default_id(first) != naming.default_id(second)
    assert naming.instance_id(first, None) == naming.default_id(first)
    assert naming.instance_id(first, "mine") == "mine"


@pytest.mark.parametrize("name", ["UPPER", "a-b", "../x", "ninechars"])
def test_an_id_that_could_not_name_a_link_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lab id"):
        naming.instance_id(Path("/x"), name)


@given(lab_id=IDS, node=st.from_regex(naming.NODE_PATTERN, fullmatch=True))
def test_links_fit_the_kernel_and_carry_the_id(lab_id: str, node: str) -> None:
    assert len(naming.bridge_name(lab_id)) <= LINUX_LINK_NAME
    link = naming.link_name(lab_id, node)
    assert len(link) <= LINUX_LINK_NAME
    assert link.startswith(naming.link_prefix(lab_id))


@given(one=IDS, other=IDS)
def test_no_lab_takes_the_links_of_another(one: str, other: str) -> None:
    if one != other:
        assert not naming.link_name(one, "lab-chat-01").startswith(naming.link_prefix(other))
        assert naming.bridge_name(one) != naming.bridge_name(other)


def test_the_bridge_has_a_local_unicast_address() -> None:
    assert int(naming.bridge_mac("abc").split(":")[0], 16) & 0b11 == 0b10


@given(lab_id=IDS)
def test_a_lab_has_the_same_first_subnet_each_time(lab_id: str) -> None:
    first = next(naming.subnet_candidates(lab_id))
    assert first == next(naming.subnet_candidates(lab_id))
    assert first.subnet_of(IPv4Network("10.64.0.0/10"))


def test_candidates_are_all_subnets_once() -> None:
    assert len(set(naming.subnet_candidates("abc"))) == 64 * 256


def test_a_taken_subnet_is_passed_over() -> None:
    first, second, *_ = naming.subnet_candidates("abc")
    assert naming.choose_subnet("abc", []) == first
    assert naming.choose_subnet("abc", [first]) == second
    wider = first.supernet(new_prefix=16)
    chosen = naming.choose_subnet("abc", [wider])
    assert chosen is not None
    assert not chosen.overlaps(wider)
    assert naming.choose_subnet("abc", [IPv4Network("10.0.0.0/8")]) is None
