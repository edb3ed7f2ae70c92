"""What the recorded cases do not show: VMs that are off, strangers, several changes at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from permafrost.planning import reboot_facts
from permafrost.planning.reboot import Effect, changed_properties, verdict_of

KNOWN = sorted(
    reboot_facts.CYCLES
    | reboot_facts.RECONFIGURES
    | reboot_facts.MOVES
    | reboot_facts.NOTES
    | reboot_facts.REPLACES
)


def test_a_vm_that_is_off_is_powered_on_by_any_reconfiguration() -> None:
    assert verdict_of({"annotation": "update"}, {}, {}, is_on=False).effect is Effect.POWERED_ON
    assert verdict_of({"numCpus": "update"}, {}, {}, is_on=False).effect is Effect.POWERED_ON
    assert verdict_of({"tags": "add"}, {}, {}, is_on=False).effect is Effect.UNTOUCHED


def test_a_vm_that_is_off_is_moved_and_stays_off() -> None:
    found = verdict_of({"hostSystemId": "update"}, {}, {}, is_on=False)
    assert found.effect is Effect.MOVED
    assert "stays off" in str(found)


def test_a_running_vm_with_a_device_is_not_moved_by_a_real_vcenter() -> None:
    found = verdict_of({"hostSystemId": "update"}, {"pciDeviceIds": ["0000:3b:00.0"]}, {})
    assert "vCenter refuses that" in str(found)


def test_what_was_never_recorded_counts_as_a_power_cycle() -> None:
    found = verdict_of({"somethingNew": "update"}, {}, {})
    assert found.effect is Effect.POWER_CYCLED
    assert "never recorded" in str(found)


def test_noise_alone_touches_nothing() -> None:
    assert verdict_of({"clone.ovfNetworkMap": "ADD"}, {}, {}).properties == ()


def test_more_memory_for_a_vm_without_hot_add_says_how_much() -> None:
    found = verdict_of({"memory": "update"}, {"memory": 4096}, {"memory": 8192})
    assert str(found) == ("power-cycled (memory: 4096 to 8192, and memoryHotAddEnabled is not on)")


@given(st.sets(st.sampled_from(KNOWN)), st.sets(st.sampled_from(KNOWN)))
def test_more_changes_never_do_less(some: set[str], more: set[str]) -> None:
    order = list(Effect)
    small = verdict_of(dict.fromkeys(some, "update"), {}, {})
    large = verdict_of(dict.fromkeys(some | more, "update"), {}, {})
    assert order.index(large.effect) <= order.index(small.effect)


@given(st.dictionaries(st.sampled_from(["numCpus", "memory", "name", "tags"]), st.integers()))
def test_equal_inputs_change_nothing(values: dict[str, int]) -> None:
    assert changed_properties(values, dict(values)) == {}


def test_paths_are_named_as_the_provider_names_them() -> None:
    old = {"extraConfig": {"a.b": "1"}, "disks": [{"size": 1}], "clone": {"templateUuid": "x"}}
    new = {"extraConfig": {"a.b": "2"}, "disks": [{"size": 2}, {"size": 3}], "clone": {}}
    assert changed_properties(old, new) == {
        'extraConfig["a.b"]': "update",
        "disks[0].size": "update",
        "disks[1].size": "add",
        "clone.templateUuid": "delete",
    }
