"""Which VM change drains, which is refused, and how a destroy is told from a replacement."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pulumi
import pytest

from infra import vm_hooks
from infra.components import hooks as hooks_module
from infra.components.hooks import HookRefusedError, SiteHooks
from permafrost.engine.state import StateStore
from permafrost.errors import Held, Problem, Refused
from permafrost.site.load import load_site
from permafrost.topology import Tier
from tests.infra.test_components import Recorder

URN = "urn:pulumi:lab::permafrost::vsphere:index/virtualMachine:VirtualMachine::tiny-pulse-01"


class Hook:
    """Keeps a hook's function instead of registering it with an engine."""

    def __init__(self, name: str, func: Any, opts: Any = None) -> None:
        self.name, self.callback, self.opts = name, func, opts


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(pulumi, "ResourceHook", Hook)
    monkeypatch.setattr(
        vm_hooks, "drain_before_change", lambda *args: found.append(("drain", *args[1:]))
    )
    monkeypatch.setattr(
        vm_hooks, "require_teardown", lambda *args: found.append(("teardown", *args[1:]))
    )
    monkeypatch.setattr(
        vm_hooks,
        "forget_vm",
        lambda *args, is_replaced: found.append(("forget", args[1], is_replaced)),
    )
    return found


def hooks_of(node_names: frozenset[str] = frozenset({"tiny-pulse-01"})) -> SiteHooks:
    return SiteHooks(Path("site.yaml"), node_names)


def args(**more: Any) -> pulumi.ResourceHookArgs:
    old = {"defaultIpAddress": "10.9.8.21"}
    return pulumi.ResourceHookArgs(
        URN, "id", "tiny-pulse-01", "vsphere:VM", old_outputs=old, **more
    )


def run(binding: list[Any] | None, hook_args: pulumi.ResourceHookArgs) -> None:
    for hook in binding or []:
        asyncio.run(hook.callback(hook_args))


def of_replica(hooks: SiteHooks, site_file: Path) -> pulumi.ResourceHookBinding:
    node = vm_hooks.node_named(load_site(site_file), "tiny-pulse-01", "")
    return hooks.of_vm(node)


def test_a_replica_is_drained_before_its_vm_is_updated(
    calls: list[tuple[Any, ...]], site_file: Path
) -> None:
    run(of_replica(hooks_of(), site_file).before_update, args())
    assert calls == [("drain", "tiny-pulse-01", "10.9.8.21")]


def test_a_replica_is_drained_before_its_vm_is_replaced(
    calls: list[tuple[Any, ...]], site_file: Path
) -> None:
    hooks = hooks_of()
    binding = of_replica(hooks, site_file)
    run(binding.before_delete, args())
    run(binding.after_delete, args())
    assert calls == [("drain", "tiny-pulse-01", "10.9.8.21"), ("forget", "tiny-pulse-01", True)]


def test_a_replica_that_left_the_site_file_is_drained_and_forgotten(
    calls: list[tuple[Any, ...]], site_file: Path
) -> None:
    hooks = hooks_of(frozenset({"tiny-pulse-02"}))
    binding = of_replica(hooks, site_file)
    run(binding.before_delete, args())
    run(binding.after_delete, args())
    assert calls == [("drain", "tiny-pulse-01", "10.9.8.21"), ("forget", "tiny-pulse-01", False)]


def test_in_a_destroy_the_guard_decides_and_nobody_waits_for_a_drain(
    calls: list[tuple[Any, ...]], site_file: Path
) -> None:
    hooks = hooks_of()
    hooks._answered.add(URN)
    run(of_replica(hooks, site_file).before_delete, args())
    assert calls == [("teardown", "tiny-pulse-01")]


def test_the_engines_answer_is_noted_for_each_watched_resource(
    calls: list[tuple[Any, ...]],
) -> None:
    hooks = hooks_of()

    def program() -> None:
        class Thing(pulumi.CustomResource):
            def __init__(self) -> None:
                super().__init__("test:index:Thing", "thing", {})

        hooks.watch(Thing())

    asyncio.set_event_loop(asyncio.new_event_loop())
    pulumi.runtime.set_mocks(Recorder(), project="permafrost", stack="lab")
    pulumi.runtime.test(program)()
    assert {urn.rsplit("::", 1)[-1] for urn in hooks._answered} == {"thing"}


def test_the_guard_speaks_in_previews_too(calls: list[tuple[Any, ...]]) -> None:
    (guard,) = hooks_of().guarded.before_delete or []
    assert guard.opts is not None
    assert guard.opts.on_dry_run


def test_an_edge_is_guarded_and_not_drained(calls: list[tuple[Any, ...]], site_file: Path) -> None:
    edge = vm_hooks.node_named(load_site(site_file), "tiny-edge-01", "")
    binding = hooks_of().of_vm(edge)
    run(binding.before_update, args())
    run(binding.before_delete, args())
    assert calls == []


def test_a_refusal_reaches_the_engine_as_its_own_words(
    calls: list[tuple[Any, ...]], site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Refused(Problem("DRAIN_BELOW_MIN_READY", "not now", "tiny-pulse-01"))

    monkeypatch.setattr(hooks_module.vm_hooks, "drain_before_change", refuse)
    with pytest.raises(HookRefusedError, match="DRAIN_BELOW_MIN_READY: tiny-pulse-01: not now"):
        run(of_replica(hooks_of(), site_file).before_update, args())


def test_hook_names_are_stable_because_the_state_keeps_them(
    calls: list[tuple[Any, ...]], site_file: Path
) -> None:
    binding = of_replica(hooks_of(), site_file)
    assert [h.name for h in binding.before_delete or []] == [
        "permafrost-gate-leaves",
        "permafrost-guard",
        "permafrost-drain",
    ]
    assert [h.name for h in binding.before_update or []] == [
        "permafrost-gate",
        "permafrost-drain",
    ]
    assert [h.name for h in binding.after_delete or []] == ["permafrost-forget"]


class TestRebootGate:
    """The program itself says which VM is power-cycled, in previews too."""

    @pytest.fixture
    def said(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        lines: list[str] = []
        monkeypatch.setattr(pulumi.log, "info", lines.append)
        return lines

    def inputs(self, **more: Any) -> dict[str, Any]:
        return {"numCpus": 2, "clone": {"templateUuid": "one"}, **more}

    def test_it_speaks_in_previews_too_and_stops_nothing(
        self, calls: list[tuple[Any, ...]], site_file: Path
    ) -> None:
        for node in ("tiny-pulse-01", "tiny-edge-01"):
            binding = hooks_of().of_vm(vm_hooks.node_named(load_site(site_file), node, ""))
            (gate, *_), (leaves, *_) = binding.before_update or [], binding.before_delete or []
            for hook in (gate, leaves, *(binding.before_create or [])):
                assert hook.opts is not None
                assert hook.opts.on_dry_run
                assert hook.opts.ignore_errors

    def test_a_power_cycle_is_said_with_its_reason(
        self, calls: list[tuple[Any, ...]], said: list[str], site_file: Path
    ) -> None:
        change = args(old_inputs=self.inputs(), new_inputs=self.inputs(numCpus=4))
        run(of_replica(hooks_of(), site_file).before_update, change)
        assert said == [
            "tiny-pulse-01: power-cycled (numCpus: 2 to 4, and cpuHotAddEnabled is not on)"
        ]

    def test_a_replacement_is_said_when_its_second_half_is_known(
        self, calls: list[tuple[Any, ...]], said: list[str], site_file: Path
    ) -> None:
        binding = of_replica(hooks_of(), site_file)
        run(binding.before_delete, args(old_inputs=self.inputs()))
        assert said == []
        new = self.inputs(clone={"templateUuid": "two"})
        run(binding.before_create, args(new_inputs=new))
        assert said == [
            "tiny-pulse-01: replaced (clone.templateUuid: only a new VM can have it; "
            "the old one is deleted first)"
        ]

    def test_a_new_vm_is_nothing_to_warn_of(
        self, calls: list[tuple[Any, ...]], said: list[str], site_file: Path
    ) -> None:
        run(of_replica(hooks_of(), site_file).before_create, args(new_inputs=self.inputs()))
        assert said == []


class TestTeardown:
    """Only `permafrost destroy`, holding the site, may remove the whole service."""

    @pytest.fixture
    def store(self, site_file: Path, monkeypatch: pytest.MonkeyPatch) -> StateStore:
        monkeypatch.delenv("PERMAFROST_LOCK_TOKEN", raising=False)
        return StateStore(site_file.parent / "state")

    def test_a_typed_destroy_is_refused(self, store: StateStore, site_file: Path) -> None:
        with pytest.raises(Refused) as caught:
            vm_hooks.require_teardown(site_file, "tiny-pulse-01")
        assert caught.value.code == "DESTROY_NOT_AUTHORISED"

    def test_the_destroy_command_goes_through(
        self, store: StateStore, site_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with store.lock.held("destroy") as token:
            monkeypatch.setenv("PERMAFROST_LOCK_TOKEN", token)
            vm_hooks.require_teardown(site_file, "tiny-pulse-01")

    def test_beside_a_running_destroy_a_typed_one_is_refused(
        self, store: StateStore, site_file: Path
    ) -> None:
        with store.lock.held("destroy"), pytest.raises(Refused):
            vm_hooks.require_teardown(site_file, "tiny-pulse-01")

    def test_a_stale_token_is_refused(
        self, store: StateStore, site_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PERMAFROST_LOCK_TOKEN", "0" * 32)
        with store.lock.held("destroy"), pytest.raises(Held):
            vm_hooks.require_teardown(site_file, "tiny-pulse-01")

    def test_another_operations_token_is_refused(
        self, store: StateStore, site_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with store.lock.held("deploy") as token:
            monkeypatch.setenv("PERMAFROST_LOCK_TOKEN", token)
            with pytest.raises(Refused):
                vm_hooks.require_teardown(site_file, "tiny-pulse-01")


def test_a_drain_is_refused_while_another_operation_holds_the_site(
    site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERMAFROST_LOCK_TOKEN", raising=False)
    store = StateStore(site_file.parent / "state")
    with store.lock.held("upgrade"), pytest.raises(Held) as caught:
        vm_hooks.drain_before_change(site_file, "tiny-pulse-01", "10.9.8.21")
    assert caught.value.code == "SITE_HELD"


def test_a_node_that_left_the_site_file_is_known_by_its_name_and_last_address(
    site_file: Path,
) -> None:
    node = vm_hooks.node_named(load_site(site_file), "tiny-pulse-07", "10.9.8.27")
    assert (node.endpoint, node.tier) == ("pulse", Tier.INFERENCE)
    assert node.address == IPv4Address("10.9.8.27")
    assert vm_hooks.node_named(load_site(site_file), "tiny-edge-02", "").endpoint == ""
