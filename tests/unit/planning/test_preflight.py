"""Each thing that would stop a VM or break a promise, told before; a sound site has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from permafrost.adapters.pulumi_stack.changes import Change
from permafrost.facts import CheckpointFacts
from permafrost.planning.cluster import LicenseFacts, TemplateFacts
from permafrost.planning.gpu_memory import Architecture
from permafrost.planning.placement import Placement, plan_placement
from permafrost.planning.preflight import VM_TYPE, plan_preflight
from permafrost.planning.preflight_report import PreflightLevel, PreflightReport
from permafrost.planning.snapshot import Inventory, RuleFacts, VmFacts
from permafrost.site.model import Site
from tests.fakes.hypervisor import FakeHypervisor
from tests.fakes.site import small_site
from tests.fakes.world import World

GOLDEN = Path(__file__).resolve().parents[2] / "golden/plans/preflight.txt"
ONE, TWO = "lab-chat-01", "lab-chat-02"
LLAMA_70B = Architecture(layers=80, kv_heads=8, head_dim=128)
Alter = Callable[[Inventory], Inventory]


def seen() -> Inventory:
    """A deployed site whose VMs are off, so that each may be powered on."""
    world = World.of(small_site())
    for name in world.machines:
        world.power_off(name)
    return FakeHypervisor(world).observe()


def checkpoints(
    size: int = 1 << 30, architecture: Architecture | None = LLAMA_70B
) -> Mapping[str, CheckpointFacts]:
    facts = CheckpointFacts("chat", "sha256:x", 3, size, True, architecture)
    return {"chat": facts, "pulse": facts}


def made(
    inventory: Inventory | None = None,
    site: Site | None = None,
    **rest: Any,
) -> PreflightReport:
    site = site or small_site(chat={"max_concurrent": 4})
    before = seen()
    placement = plan_placement(site, before.hosts, Placement())
    found = before if inventory is None else inventory
    return plan_preflight(site, found, placement, **{"checkpoints": checkpoints(), **rest})


def codes(report: PreflightReport) -> set[str]:
    return {c.code for c in report.problems}


def host(name: str, **what: Any) -> Alter:
    return lambda i: replace(
        i, hosts=tuple(replace(h, **what) if h.name == name else h for h in i.hosts)
    )


def vm(name: str, **what: Any) -> Alter:
    return lambda i: replace(
        i, vms=tuple(replace(v, **what) if v.name == name else v for v in i.vms)
    )


def cluster(**what: Any) -> Alter:
    return lambda i: replace(i, cluster=replace(i.cluster, **what))


def passthrough_off(inventory: Inventory) -> Inventory:
    first = inventory.hosts[0]
    gpus = tuple(replace(g, is_passthrough=False) for g in first.gpus)
    return host(first.name, gpus=gpus)(inventory)


def stranger(**what: Any) -> Alter:
    facts = VmFacts("stranger", "vm-1", "u", "lab-esx-01", True, **what)
    return lambda i: replace(i, vms=(*i.vms, facts))


def storage(**what: Any) -> Alter:
    return lambda i: replace(i, datastores=(replace(i.datastores[0], **what),))


PROBLEMS: dict[str, tuple[Alter, set[str]]] = {
    "nothing": (lambda i: i, set()),
    "host down": (host("lab-esx-01", connected=False), {"PREFLIGHT_HOST_DOWN"}),
    "maintenance": (host("lab-esx-01", in_maintenance=True), {"PREFLIGHT_HOST_MAINTENANCE"}),
    "host gone": (
        lambda i: replace(i, hosts=i.hosts[1:]),
        {"PREFLIGHT_HOST_MISSING"},
    ),
    "devices gone": (host("lab-esx-01", gpus=()), {"PREFLIGHT_DEVICE_MISSING"}),
    "passthrough off": (passthrough_off, {"PREFLIGHT_PASSTHROUGH_OFF"}),
    "device taken": (stranger(gpus=("0000:3b:00.0",)), {"PREFLIGHT_DEVICE_TAKEN"}),
    "reservation lost": (
        vm(ONE, is_reservation_locked=False, memory_reservation_mib=1),
        {"PREFLIGHT_MEMORY_NOT_RESERVED"},
    ),
    "host too small": (host("lab-esx-01", memory_mib=2048), {"PREFLIGHT_MEMORY_TOO_LITTLE"}),
    "host full": (
        lambda i: stranger(memory_mib=7000, is_reservation_locked=True)(
            host("lab-esx-01", memory_mib=8192)(i)
        ),
        {"PREFLIGHT_MEMORY_TOO_LITTLE"},
    ),
    "rule": (
        lambda i: replace(
            stranger()(i), rules=(RuleFacts("apart", True, True, frozenset({ONE, "stranger"})),)
        ),
        {"PREFLIGHT_RULE_BROKEN"},
    ),
    "rule that is a preference": (
        lambda i: replace(
            stranger()(i), rules=(RuleFacts("apart", True, False, frozenset({ONE, "stranger"})),)
        ),
        set(),
    ),
    "DRS off": (cluster(drs_enabled=False), {"PREFLIGHT_DRS_OFF"}),
    "DRS not licensed": (
        lambda i: replace(i, licenses=(LicenseFacts("esx.standard", "Standard"),)),
        {"PREFLIGHT_DRS_LICENSE"},
    ),
    "no template": (lambda i: replace(i, templates=()), {"PREFLIGHT_TEMPLATE_MISSING"}),
    "BIOS template": (
        lambda i: replace(i, templates=(TemplateFacts("debian-13", 20, "bios", "vmx-21"),)),
        {"PREFLIGHT_TEMPLATE_FIRMWARE"},
    ),
    "old template": (
        lambda i: replace(i, templates=(TemplateFacts("debian-13", 20, "efi", "vmx-13"),)),
        {"PREFLIGHT_HARDWARE_VERSION"},
    ),
    "no network": (
        lambda i: replace(i, networks=frozenset()),
        {"PREFLIGHT_NETWORK_MISSING"},
    ),
    "no datastore": (lambda i: replace(i, datastores=()), {"PREFLIGHT_DATASTORE_MISSING"}),
    "datastore away": (storage(is_accessible=False), {"PREFLIGHT_DATASTORE_MISSING"}),
    "datastore not mounted": (
        storage(hosts=frozenset({"lab-esx-01"})),
        {"PREFLIGHT_DATASTORE_NOT_MOUNTED"},
    ),
    "datastore full": (
        lambda i: replace(storage(free_gib=30)(i), vms=()),
        {"PREFLIGHT_DATASTORE_TOO_SMALL"},
    ),
    "address taken": (stranger(address="10.64.1.21"), {"PREFLIGHT_ADDRESS_TAKEN"}),
    "address taken by a second card": (
        stranger(address="10.9.0.7", addresses=("10.9.0.7", "10.64.1.21")),
        {"PREFLIGHT_ADDRESS_TAKEN"},
    ),
}

ATTENTION: dict[str, tuple[Alter, str]] = {
    "DRS by hand": (cluster(drs_automation="manual"), "PREFLIGHT_DRS_LEVEL"),
    "HA off": (cluster(ha_enabled=False), "PREFLIGHT_HA_OFF"),
    "HA breaks rules": (cluster(ha_respects_rules=False), "PREFLIGHT_HA_RULES"),
    "admission off": (cluster(ha_admission_control=False), "PREFLIGHT_ADMISSION_CONTROL"),
    "admission for all": (cluster(ha_failover_level=3), "PREFLIGHT_ADMISSION_CONTROL"),
    "evaluation": (
        lambda i: replace(i, licenses=(LicenseFacts("eval", "Evaluation Mode"),)),
        "PREFLIGHT_DRS_LICENSE",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_problem_is_told_with_its_code(name: str) -> None:
    alter, expected = PROBLEMS[name]
    report = made(alter(seen()))
    assert codes(report) == expected
    assert all(c.hint and c.seen and c.needed for c in report.problems)


@pytest.mark.parametrize("name", ATTENTION)
def test_what_only_deserves_attention_refuses_nothing(name: str) -> None:
    alter, code = ATTENTION[name]
    report = made(alter(seen()))
    assert codes(report) == set()
    assert code in {c.code for c in report.checks if c.level is PreflightLevel.ATTENTION}


def test_too_little_address_space_for_the_bars_is_told_with_the_sum() -> None:
    report = made(site=small_site(chat={"gpu": {**GPU, "mmio_gib": 128}, "max_concurrent": 4}))
    (found,) = report.problems
    assert (found.code, found.target) == (
        "PREFLIGHT_MMIO_TOO_SMALL",
        "inference.chat.gpu.mmio_gib",
    )
    assert "256 GiB: 1 x (16 MiB + 128 GiB + 32 MiB)" in found.needed


GPU = {"mode": "passthrough", "vendor_device": "10de:2330", "count": 1}


@pytest.mark.parametrize(
    ("context", "concurrent", "gib", "fits"),
    [
        # 2 x 80 x 8 x 128 x 2 = 327,680 bytes a token; 72 GiB usable of an 80 GiB GPU.
        (8192, 4, 40, True),
        (8192, 13, 40, False),
        (8192, 12, 40, True),
        (2048, 1, 71, True),
        (2048, 1, 72, False),
    ],
)
def test_weights_and_cache_against_gpu_memory(
    context: int, concurrent: int, gib: int, fits: bool
) -> None:
    site = small_site(chat={"max_context_tokens": context, "max_concurrent": concurrent})
    report = made(site=site, checkpoints=checkpoints(gib << 30))
    assert codes(report) == (set() if fits else {"PREFLIGHT_GPU_MEMORY_TOO_SMALL"})


def test_what_the_program_asks_is_looked_at() -> None:
    good = {"forcePowerOff": False, "firmware": "efi", "memory": 4096, "memoryReservation": 4096}
    asked = {**good, "pciDeviceIds": ["0000:3b:00.0"]}
    bad = {"pciDeviceIds": ["0000:3b:00.0"], "memory": 4096, "shutdownWaitTimeout": 11}

    def of(new: dict[str, Any]) -> set[str]:
        return codes(made(changes=[Change("create", VM_TYPE, ONE, new=new)]))

    assert of(asked) == set()
    assert of(bad) == {
        "PREFLIGHT_FORCE_POWER_OFF",
        "PREFLIGHT_SHUTDOWN_WAIT",
        "PREFLIGHT_FIRMWARE",
        "PREFLIGHT_RESERVATION_ASKED",
    }


def test_only_what_is_to_start_is_asked_about() -> None:
    down = host("lab-esx-01", connected=False)(seen())
    assert codes(made(down, starting=frozenset())) == set()
    assert codes(made(down, starting=frozenset({ONE}))) == {"PREFLIGHT_HOST_DOWN"}
    assert codes(made(down, starting=frozenset({TWO}))) == set()


def test_an_unknown_gpu_or_architecture_is_said_and_goes_on() -> None:
    site = small_site(chat={"gpu": {**GPU, "vendor_device": "10de:ffff"}})
    report = plan_preflight(site, seen(), Placement(), checkpoints=checkpoints())
    assert codes(report) == set()
    assert "PREFLIGHT_GPU_UNKNOWN" in {
        c.code for c in report.checks if c.level is PreflightLevel.ATTENTION
    }
    report = made(checkpoints=checkpoints(architecture=None))
    assert "PREFLIGHT_ARCHITECTURE_UNKNOWN" in {c.code for c in report.checks}


def test_a_checkpoint_that_nobody_could_look_at_is_said_and_goes_on() -> None:
    report = made(checkpoints={})
    assert codes(report) == set()
    unseen = {c.target: c for c in report.checks if c.code == "PREFLIGHT_CHECKPOINT_UNSEEN"}
    assert set(unseen) == {"inference.chat.model"}, "pulse keeps nothing on a GPU"
    (said,) = unseen.values()
    assert said.level is PreflightLevel.ATTENTION
    assert "within 80 GiB" in said.needed
    assert "PREFLIGHT_CHECKPOINT_UNSEEN" not in {c.code for c in made().checks}


def test_a_sound_site_reads_as_it_should() -> None:
    lines = [
        f"{c.level.value} {c.code} {c.target}: {c.seen}"
        for c in made(starting=frozenset({ONE, "lab-edge-01"})).checks
    ]
    assert "\n".join(lines) + "\n" == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("operation", "properties", "expected"),
    [
        (
            "update",
            {"memoryReservation": "update", "memoryReservationLockedToMax": "update"},
            set(),
        ),
        ("replace", {"clone.templateUuid": "update-replace"}, set()),
        ("update", {"numCpus": "update"}, {"PREFLIGHT_MEMORY_NOT_RESERVED"}),
    ],
)
def test_a_reservation_that_the_same_plan_gives_back_stops_nothing(
    operation: str, properties: dict[str, str], expected: set[str]
) -> None:
    """`deploy` mends what was taken by hand: it must not be refused for it."""
    lost = vm(ONE, is_reservation_locked=False, memory_reservation_mib=1)(seen())
    settings = {"memory": 4096, "memoryReservation": 4096, "firmware": "efi"}
    change = Change(operation, VM_TYPE, ONE, properties=properties, new=settings)
    found = codes(made(lost, changes=[change], starting={ONE}))
    assert found & {"PREFLIGHT_MEMORY_NOT_RESERVED"} == expected
