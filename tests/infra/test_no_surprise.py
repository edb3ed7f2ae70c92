"""No field of a site file power-cycles, moves or replaces a VM without the gate saying so.

Each field of the example sites is changed alone; the program says what it then asks of each VM,
the gate what that does, and the recorded behaviour of the provider (power events of each property
that was changed alone) is the judge, not the gate's own table. What each field comes to is golden:
one that begins to touch VMs is seen there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.components import edge_vm, inference_vm, node_vm
from permafrost.errors import Refused
from permafrost.planning import reboot_facts
from permafrost.planning.placement import Placement
from permafrost.planning.reboot import Effect, changed_properties, verdict_of_change
from permafrost.planning.snapshot import Inventory
from permafrost.site.load import load_site
from permafrost.site.model import Site
from permafrost.topology import Node
from tests.fakes.sites import example_site
from tests.infra.one_field import Declared, Place, at, declare, hosts, one_field_changes, refused
from tests.unit.planning.test_reboot_recorded import (
    JUDGED,
    MOVED,
    STOPPED_ASKING,
    Case,
    asked,
    inputs_of,
    step,
)

GOLDEN = Path(__file__).with_name("no_surprise.json")
SITES = {"small": 2, "three-racks": 1}
"""Examples, and how many other values of each field are tried."""
VM = "vsphere:index/virtualMachine:VirtualMachine"
STRENGTH = list(Effect)
HOT = ("cpuHotAddEnabled", "cpuHotRemoveEnabled", "memoryHotAddEnabled")


def seen_of(case: Case) -> Effect:
    """Return what was seen to happen to the VM of a recorded update."""
    diff, update = step(case, "Diff"), step(case, "Update")
    assert diff is not None
    if diff["response"]["replaces"]:
        return Effect.REPLACED
    error = str(((update or {}).get("error") or {}).get("message"))
    if STOPPED_ASKING in error or any(v == "off" for v, _ in (update or {}).get("power", ())):
        return Effect.POWER_CYCLED
    return Effect.MOVED if case.name in MOVED else Effect.UNTOUCHED


def plain(path: str) -> str:
    """Return a property's path without numbers and keys."""
    return re.sub(r'\[(\d+|".*?")\]', "[]", path)


@cache
def recorded() -> Mapping[str, Effect]:
    """Return for each property the strongest of what was seen when it changed alone.

    Updates that were told to go without a power-cycle, as the program never does, are left out.
    """
    found: dict[str, Effect] = {}
    for case in JUDGED:
        change = asked(case)
        assert change is not None
        paths = {plain(p) for p in change[0] if not p.startswith(reboot_facts.NOISE)}
        if "resourcePoolId" in paths:
            paths.discard("hostSystemId")  # it follows from the pool
        diff = step(case, "Diff")
        assert diff is not None
        old, new = inputs_of(case, diff["oldInputs"]), change[2]
        if any(old.get(key) for key in HOT) or new.get("extraConfigRebootRequired") is False:
            continue
        if len(paths) == 1:
            (path,) = paths
            found[path] = strongest(found.get(path, Effect.UNTOUCHED), seen_of(case))
    return found


def strongest(*effects: Effect) -> Effect:
    return min(effects, key=STRENGTH.index, default=Effect.UNTOUCHED)


def effects(before: Declared, after: Declared) -> dict[str, str]:
    """Return what becomes of each VM; raise AssertionError where the gate does not say it."""
    found = {}
    for name in sorted(before.vms.keys() & after.vms.keys()):
        ignored = after.ignored[name]
        old, new = before.inputs(name, ignored), after.inputs(name, ignored)
        paths = changed_properties(old, new)
        if not paths:
            continue
        unknown = {plain(p) for p in paths} - recorded().keys()
        assert not unknown, f"{name}: what {', '.join(sorted(unknown))} does was never recorded"
        happens = strongest(*(recorded()[plain(p)] for p in paths))
        change: Any = SimpleNamespace(
            operation="update", type=VM, name=name, properties={}, old=old, new=new
        )
        said = verdict_of_change(Inventory(), change)
        assert said.effect is happens, f"{name}: the gate says {said}, seen was {happens}"
        assert happens is Effect.UNTOUCHED or all(p.why for p in said.reasons)
        found[name] = f"{happens} by {', '.join(sorted({plain(p) for p in paths}))}"
    return found


def of_field(before: Declared, site: Site, seen: list[Any]) -> str:
    """Return in words what a site that differs in one field comes to."""
    try:
        after = declare(site, before.placement, seen)
    except Refused as error:
        return f"refused: {', '.join(sorted({refused(p) for p in error.problems}))}"
    words = set(effects(before, after).values())
    if after.vms.keys() - before.vms.keys():
        words.add("made")
    if before.vms.keys() - after.vms.keys():
        words.add("removed")
    return "; ".join(sorted(words)) or "nothing"


def all_fields(folder: Path, name: str, most: int) -> dict[str, list[str]]:
    """Return for each field of an example what its changes come to."""
    site = example_site(name)
    seen = hosts(site)
    before = declare(site, Placement(), seen)
    assert effects(before, declare(site, before.placement, seen)) == {}
    document = site.model_dump(mode="json", by_alias=True)
    found: dict[str, list[str]] = {}
    for place, sites in one_field_changes(folder, document, most):
        said = {of_field(before, other, seen) for other in sites} or {"no other value alone"}
        found.setdefault(written(place), []).extend(sorted(said))
    return found


def written(place: Place) -> str:
    return ".".join(str(part) for part in place)


@pytest.mark.thorough
@pytest.mark.parametrize("name", SITES)
def test_what_each_field_comes_to_is_said_by_the_gate(tmp_path: Path, name: str) -> None:
    found = all_fields(tmp_path, name, SITES[name])
    assert len(found) > 70
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("UPDATE_GOLDEN"):
        golden[name] = {k: v for k, v in found.items() if v != ["nothing"]}
        GOLDEN.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
    assert {k: v for k, v in found.items() if v != ["nothing"]} == golden[name]


def test_the_judge_knows_each_effect() -> None:
    """The control of the judge: what was recorded has every effect that a running VM can have."""
    assert set(recorded().values()) == set(Effect) - {Effect.POWERED_ON}


def small(**change: Any) -> tuple[Declared, Declared]:
    site = example_site("small")
    seen = hosts(site)
    before = declare(site, Placement(), seen)
    values = site.model_dump(mode="json", by_alias=True)
    values["inference"]["assistant"] |= change
    return before, declare(Site.model_validate(values), before.placement, seen)


def test_a_gate_that_does_not_know_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = {"mode": "none"}
    assert {v.split()[0] for v in effects(*small(gpu=gpu)).values()} == {"power-cycled"}
    monkeypatch.setattr(reboot_facts, "CYCLES", reboot_facts.CYCLES - {"pciDeviceIds"})
    monkeypatch.setattr(reboot_facts, "RECONFIGURES", reboot_facts.RECONFIGURES | {"pciDeviceIds"})
    monkeypatch.setattr("permafrost.planning.reboot.EXTRA_CONFIG", re.compile("never"))
    monkeypatch.setattr(reboot_facts, "NOTES", reboot_facts.NOTES | {"extraConfig"})
    with pytest.raises(AssertionError, match="the gate says untouched"):
        effects(*small(gpu=gpu))


def smuggle(monkeypatch: pytest.MonkeyPatch, argument: str) -> None:
    """Let a field reach an argument of each VM which it did not reach before."""
    honest = node_vm.base_arguments

    def smuggling(site: Site, node: Node) -> dict[str, Any]:
        return {**honest(site, node), argument: site.edge.vrrp_id}

    for module in (edge_vm, inference_vm):
        monkeypatch.setattr(module, "base_arguments", smuggling)


def test_a_change_that_is_smuggled_in_is_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    smuggle(monkeypatch, "num_cores_per_socket")
    found = all_fields(tmp_path, "small", 1)["edge.vrrp_id"]
    assert found == ["power-cycled by numCoresPerSocket"]
    assert "edge.vrrp_id" not in json.loads(GOLDEN.read_text())["small"]


def test_what_was_never_recorded_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    smuggle(monkeypatch, "boot_retry_delay")
    with pytest.raises(AssertionError, match="bootRetryDelay does was never recorded"):
        all_fields(tmp_path, "small", 1)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"inference.assistant.gpu": {"mode": "none"}},
            "power-cycled by extraConfig[], memoryReservation, memoryReservationLockedToMax, "
            "pciDeviceIds",
        ),
        ({"edge.nodes": 2, "edge.vip": "10.20.0.9", "edge.vrrp_id": 51}, "made"),
        ({"tls": {"authority": {"certificate_file": "a.pem", "key_file": "k"}}}, "nothing"),
    ],
    ids=["no device any more", "a second edge", "an authority of one's own"],
)
def test_what_changes_only_together(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    site = example_site("small")
    seen = hosts(site)
    before = declare(site, Placement(), seen)
    values = site.model_dump(mode="json", by_alias=True)
    for path, value in keys.items():
        *parents, last = path.split(".")
        at(values, tuple(parents))[last] = value
    path_ = tmp_path / "site.yaml"
    path_.write_text(json.dumps(values))
    other = load_site(path_, with_files=False).site
    assert of_field(before, other, seen) == said
