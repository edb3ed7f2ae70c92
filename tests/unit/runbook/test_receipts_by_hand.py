"""Keys, accepted settings, a recorded fingerprint, a repair: one receipt each, without secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_registry.fingerprint.keeping import Verb
from permafrost.cli import client, observation, resumption
from permafrost.cli.options import Output
from permafrost.errors import Failed, Refused
from permafrost.runbook.clients import add_client, revoke_client, rotate_client
from permafrost.runbook.context import Context
from permafrost.runbook.deploy import execute, make_plan
from permafrost.runbook.drain import drain_replica
from permafrost.runbook.drift import accept_settings
from permafrost.runbook.history import history
from permafrost.runbook.resumption import find_interruption, repair
from tests.fakes.killing import another_process, is_cut_at_commit
from tests.fakes.provisioner import FakeProvisioner
from tests.fakes.site import context, small_site
from tests.fakes.world import World
from tests.unit.runbook.chain import lines, receipts, require_announced
from tests.unit.runbook.test_fingerprint import ONE, Models, Store, run
from tests.unit.runbook.test_resumption import LEFT

ME = "operator:me"


def told(ctx: Context) -> dict[str, Any]:
    """Return the latest receipt of a chain that must hold; the history names its file."""
    latest = receipts(ctx)[-1]
    name = f"{latest['number']:06}-{latest['command'].replace(' ', '-')}.json"
    assert Path(history(ctx, 1)[0]["receipt"]).name == name
    return latest


def everything_kept(ctx: Context) -> bytes:
    folder = ctx.store.state_dir
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


def test_each_change_of_a_client_s_keys_has_one_and_no_key_is_in_it(
    ctx: Context, world: World
) -> None:
    first = add_client(ctx, "shop", owner=ME)
    receipt = told(ctx)
    assert (receipt["command"], receipt["target"], receipt["owner"]) == ("client add", "shop", ME)
    assert (receipt["before"], receipt["state"]) == ({"valid_keys": 0}, "done")
    assert receipt["evidence"]["valid_keys"] == 1
    assert lines(receipt) == ["01 client-add INTENT", "01 client-add DONE"]
    assert Path(first.receipt).is_file()
    second = rotate_client(ctx, "shop", overlap_s=600, owner=ME)
    until = int(ctx.clock.now().timestamp()) + 600
    receipt = told(ctx)
    assert (receipt["evidence"]["valid_keys"], receipt["evidence"]["others_end"]) == (2, until)
    revoke_client(ctx, "shop", owner=ME)
    receipt = told(ctx)
    assert (receipt["command"], receipt["before"]) == ("client revoke", {"valid_keys": 2})
    assert receipt["evidence"]["valid_keys"] == 0
    assert len(receipts(ctx)) == 3
    for made in (first, second):
        assert made.key
        assert made.key.encode() not in everything_kept(ctx)


def test_keys_that_not_every_edge_was_told_have_none_until_it_is(
    ctx: Context, world: World
) -> None:
    add_client(ctx, "shop", owner=ME)
    world.edges_down.add("lab-edge-01")
    with pytest.raises(Failed, match="EDGE_UNREACHABLE"):
        revoke_client(ctx, "shop", owner=ME)
    with pytest.raises(Refused):
        add_client(ctx, "Not A Name", owner=ME)
    assert len(receipts(ctx)) == 1
    world.edges_down.clear()
    revoke_client(ctx, "shop", owner=ME)
    assert told(ctx)["command"] == "client revoke"


def deployed(folder: Path, world: World) -> Context:
    ctx = context(folder / "state", world)
    execute(ctx, make_plan(ctx))
    return ctx


def test_accepted_settings_are_told_with_those_of_before(tmp_path: Path, world: World) -> None:
    ctx = deployed(tmp_path, world)
    world.cluster = replace(world.cluster, drs_automation="manual")
    done = accept_settings(ctx, owner=ME)
    receipt = told(ctx)
    assert (receipt["command"], receipt["operation"]) == ("drift accept", done.operation)
    was, became = (receipt[k]["baseline"]["settings"] for k in ("before", "evidence"))
    assert (was["drs_automation"], became["drs_automation"]) == ("fullyAutomated", "manual")
    assert lines(receipt) == ["01 accept INTENT", "01 accept DONE"]


def test_a_recorded_fingerprint_has_one_and_a_comparison_none(
    tmp_path: Path, world: World
) -> None:
    store = Store()
    ctx = replace(context(tmp_path / "state", world), models=Models(world))
    drain_replica(ctx, ONE, owner=ME)
    before = len(receipts(ctx))
    found = run(ctx, store, Verb.RECORD)
    receipt = told(ctx)
    assert (receipt["command"], receipt["target"]) == ("fingerprint record", ONE)
    assert receipt["evidence"]["fingerprint"] == found.kept
    assert (receipt["before"]["known"], receipt["evidence"]["changed"]) == (0, True)
    assert "token_ids" not in str(receipt), "answers are kept with the checkpoint, not here"
    assert run(ctx, store, Verb.COMPARE).receipt == ""
    assert len(receipts(ctx)) == before + 1
    assert run(ctx, store, Verb.RECORD).receipt, "cut off before its receipt, it is run again"
    assert told(ctx)["evidence"]["changed"] is False


def test_what_was_repaired_is_told(ctx: Context) -> None:
    made = ctx.provisioner
    assert isinstance(made, FakeProvisioner)
    assert repair(ctx, find_interruption(ctx)) == ""
    assert receipts(ctx) == []
    made.interrupted = made.unrepaired = LEFT
    with pytest.raises(Failed, match="REPAIR_INCOMPLETE"):
        repair(ctx, find_interruption(ctx))
    assert receipts(ctx) == []
    made.unrepaired = replace(LEFT, holds=(), processes=0, pending=(), half_made=())
    path = repair(ctx, find_interruption(ctx))
    receipt = told(ctx)
    assert (receipt["command"], receipt["evidence"]) == ("repair", {"left": []})
    assert len(receipt["before"]["repairs"]) == 4
    assert Path(path).is_file()


def test_a_program_that_resumes_is_told_the_repairs_receipt(
    ctx: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ctx.provisioner
    assert isinstance(made, FakeProvisioner)
    made.interrupted = LEFT
    monkeypatch.setattr(resumption, "open_site", lambda _: ctx)
    resumption.resume_deployment(None, yes=True, plan_only=False, output=Output.JSON)
    document = json.loads(capsys.readouterr().out)
    of_repair, of_deployment = (
        Path(p) for p in (document["resumed"]["receipt"], document["receipt"])
    )
    assert [json.loads(p.read_bytes())["command"] for p in (of_repair, of_deployment)] == [
        "repair",
        "deploy",
    ]


def revoked(ctx: Context) -> str:
    return revoke_client(ctx, "shop", owner=ME).operation


def accepted(ctx: Context) -> str:
    return accept_settings(ctx, owner=ME).operation


@pytest.mark.parametrize("work", [revoked, accepted])
def test_killed_before_a_durable_write_the_same_command_ends_it(
    tmp_path: Path, work: Callable[[Context], str]
) -> None:
    for moment in range(100):
        world = World.of(small_site())
        ctx = context(tmp_path / str(moment) / "state", world)
        add_client(ctx, "shop", owner=ME)
        if not is_cut_at_commit(ctx, moment, lambda ctx=ctx: work(ctx)):  # type: ignore[misc]
            break
        after = another_process(ctx, world)
        require_announced(after)
        operation = work(after)
        found = receipts(after)
        assert found[-1]["operation"] == operation
        assert len(found) <= 3
        assert world.client_keys == {} or work is accepted
    assert moment > 5


def test_the_commands_say_where_it_is(
    ctx: Context,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module in (client, observation):
        monkeypatch.setattr(module, "open_site", lambda _: ctx)
    client.add("shop", yes=True)
    said = capsys.readouterr()
    assert "000001-client-add.json" in said.err
    assert ".json" not in said.out, "the key alone, for scripts"
    observation.drift(accept=True, yes=True, output=Output.JSON)
    assert "000002-drift-accept.json" in capsys.readouterr().out
