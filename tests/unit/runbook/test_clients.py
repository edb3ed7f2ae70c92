"""Client keys: hashed, rotated with an overlap, revoked; the edges are told each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from permafrost.errors import Failed, Refused
from permafrost.planning.clients import digest_of, edge_map
from permafrost.runbook.clients import (
    add_client,
    list_clients,
    revoke_client,
    rotate_client,
    tell_edges,
)
from permafrost.runbook.context import Context
from tests.fakes.site import context
from tests.fakes.world import Cut, World

ME = "operator:me"


def test_a_key_is_known_to_the_edges_by_its_hash_and_kept_nowhere(
    ctx: Context, world: World
) -> None:
    made = add_client(ctx, "shop", owner=ME)
    assert world.client_keys == {digest_of(made.key): "shop:0"}
    assert made.key not in repr(made)
    everything = (ctx.store.state_dir / "permafrost.db").read_bytes()
    everything += b"".join(p.read_bytes() for p in ctx.store.state_dir.glob("permafrost.db-*"))
    assert made.key.encode() not in everything


def test_rotation_leaves_the_old_key_for_the_overlap(ctx: Context, world: World) -> None:
    first = add_client(ctx, "shop", owner=ME).key
    now = int(ctx.clock.now().timestamp())
    second = rotate_client(ctx, "shop", overlap_s=600, owner=ME).key
    assert world.client_keys == {
        digest_of(first): f"shop:{now + 600}",
        digest_of(second): "shop:0",
    }
    ctx.clock.sleep(601)
    tell_edges(ctx)
    assert set(world.client_keys) == {digest_of(second)}
    assert [k["valid"] for k in list_clients(ctx)].count(True) == 1


def test_a_second_rotation_does_not_prolong_the_first_key(ctx: Context, world: World) -> None:
    first = add_client(ctx, "shop", owner=ME).key
    now = int(ctx.clock.now().timestamp())
    rotate_client(ctx, "shop", overlap_s=60, owner=ME)
    rotate_client(ctx, "shop", overlap_s=6000, owner=ME)
    assert world.client_keys[digest_of(first)] == f"shop:{now + 60}"


def test_revoked_is_gone_at_once_and_others_go_on(ctx: Context, world: World) -> None:
    add_client(ctx, "shop", owner=ME)
    other = add_client(ctx, "desk", owner=ME).key
    assert revoke_client(ctx, "shop", owner=ME).valid_keys == 0
    assert world.client_keys == {digest_of(other): "desk:0"}


@pytest.mark.parametrize("cut", range(6))
def test_cut_anywhere_a_revocation_is_finished_by_asking_again(
    ctx: Context, world: World, cut: int, tmp_path: Path
) -> None:
    add_client(ctx, "shop", owner=ME)
    world.cut_in = cut
    try:
        revoke_client(ctx, "shop", owner=ME)
    except Cut:
        ctx = context(tmp_path / "state", world)
    world.cut_in = None
    revoke_client(ctx, "shop", owner=ME)
    assert world.client_keys == {}


def test_an_edge_that_cannot_be_told_is_a_failure(ctx: Context, world: World) -> None:
    add_client(ctx, "shop", owner=ME)
    world.edges_down.add("lab-edge-01")
    with pytest.raises(Failed, match="EDGE_UNREACHABLE"):
        revoke_client(ctx, "shop", owner=ME)


def test_names_are_checked(ctx: Context) -> None:
    add_client(ctx, "shop", owner=ME)
    with pytest.raises(Refused, match="CLIENT_EXISTS"):
        add_client(ctx, "shop", owner=ME)
    with pytest.raises(Refused, match="CLIENT_NAME_INVALID"):
        add_client(ctx, "Shop:1", owner=ME)
    with pytest.raises(Refused, match="CLIENT_UNKNOWN") as caught:
        rotate_client(ctx, "desk", overlap_s=1, owner=ME)
    assert "shop" in str(caught.value)


def test_an_ended_key_is_not_told() -> None:
    assert edge_map((), 0.0) == {}
