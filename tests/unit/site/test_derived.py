"""What is derived from a site is worked out once, and never that of another site."""

from __future__ import annotations

import gc
import weakref
from typing import Any, cast

import pytest

from permafrost.planning.knowledge import milvus_roles, spares, units_of
from permafrost.site.derived import once_a_site
from permafrost.site.model import Site
from permafrost.topology import nodes
from tests.fakes.site import document
from tests.unit.planning.test_knowledge import V2_3


def site_of(replicas: int) -> Site:
    values = document()
    values["inference"]["chat"]["replicas"] = replicas
    return Site.model_validate(values)


def test_it_is_worked_out_once() -> None:
    asked: list[Site] = []

    @once_a_site
    def name(site: Site) -> str:
        asked.append(site)
        return site.site

    site = site_of(2)
    assert [name(site), name(site)] == ["lab", "lab"]
    assert asked == [site]


def test_sites_of_the_same_name_are_told_apart() -> None:
    few, more = site_of(2), site_of(3)
    assert len(nodes(more)) == len(nodes(few)) + 1
    assert len(nodes(few)) == len(nodes(site_of(2)))


def test_a_site_lends_its_place_in_memory_to_no_other_while_it_is_remembered() -> None:
    @once_a_site
    def replicas(site: Site) -> int:
        return site.inference["chat"].replicas

    site = site_of(2)
    kept = weakref.ref(site)
    assert replicas(site) == 2
    del site
    gc.collect()
    assert kept() is not None
    for _ in range(20):
        replicas(site_of(3))
    gc.collect()
    assert kept() is None, "it is not kept for ever"


def test_what_is_raised_is_raised_again() -> None:
    @once_a_site
    def never(site: Site) -> str:
        raise ValueError(site.site)

    site = site_of(2)
    for _ in range(2):
        with pytest.raises(ValueError, match="lab"):
            never(site)


def test_nobody_changes_what_all_share() -> None:
    shared = (milvus_roles(V2_3), spares(V2_3), next(iter(milvus_roles(V2_3).values())))
    for mapping in shared:
        with pytest.raises(TypeError):
            cast(dict[str, Any], mapping)["another"] = {}
    ports = units_of(V2_3, next(iter(milvus_roles(V2_3))))[0].ports
    with pytest.raises(TypeError):
        cast(dict[str, int], ports)["other"] = 1
