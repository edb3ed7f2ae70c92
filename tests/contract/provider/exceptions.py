"""Where the lab's plugin differs from the recorded one, and why.

Each entry is a decision or a debt. An entry covers the paths that it names in the cases that it
names, and no others; it must be used by each of those cases, or the test fails. `needed=False`
marks those that cover what only some of their cases, or only some runs, show.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.contract.provider.binding import Difference
from tests.contract.provider.cases import Case


@dataclass(frozen=True)
class Expected:
    """Differences that are known: which case, which value, and why."""

    case: str
    path: str
    reason: str
    needed: bool = True

    def covers(self, difference: Difference) -> bool:
        """Say whether this explains a difference."""
        return re.search(self.path, difference.path) is not None


STRICTER = "the lab's vCenter refuses this, as a real one does; the recorded simulator did not: "
TRUER = "the lab's vCenter does this, as a real one does; the recorded simulator could not: "
MEANT = "meant: "
DEBT = "not done: "

EXCEPTIONS: tuple[Expected, ...] = (
    # Where the two vCenters differ.
    Expected(
        r"/vm-pci-(without|partial)-reservation$|/vm-reservation-locked-differs$",
        r"step [345] ",
        STRICTER + "power-on of a passthrough machine without its whole memory reserved",
    ),
    Expected(
        r"/memory-up-reservation-left$",
        r"step [5678] ",
        STRICTER + "power-on of a passthrough machine without its whole memory reserved",
    ),
    Expected(r"/aa-(one-vm|same-vm-twice)$", r"step [456] ", STRICTER + "a rule with one machine"),
    Expected(r"/aa-members-to-one$", r"step (9|1\d) ", STRICTER + "a rule with one machine"),
    Expected(
        r"/host-group-unknown-host$", r"step [23] ", STRICTER + "a group with an unknown host"
    ),
    Expected(
        r"/(vm-host-rule|dependency)-unknown-groups$",
        r"step [23] ",
        STRICTER + "a rule of groups that do not exist",
    ),
    Expected(
        r"/(vm-moved-gpu|gpu-host-system-id)$",
        r"step [3-9] ",
        STRICTER + "moving a running passthrough machine",
    ),
    Expected(r"/vm-cpus-changed$", r"step [35678] ", STRICTER + "another CPU count while running"),
    Expected(
        r"/hardware-version-up$", r"step [5678] ", STRICTER + "a hardware version it does not have"
    ),
    Expected(
        r"/(aa|vm-host-rule|dependency-rule)-name$", r"step (9|1\d) ", TRUER + "renaming a rule"
    ),
    Expected(r"/drs-override-(level|enabled)$", r"step (9|1\d) ", TRUER + "changing an override"),
    Expected(r"/ha-override-monitoring$", r"step (9|10) ", TRUER + "keeping these settings"),
    Expected(r"/vm-renamed$", r"step [567] ", TRUER + "a name changed by hand shows everywhere"),
    Expected(r"/resource-pool-id$", r"step (7|8|9|10) ", TRUER + "moving a machine to a pool"),
    Expected(r"/tag-category-types-added$", r"step [56] ", TRUER + "adding a type to a category"),
    Expected(
        r"/(aa-member-destroyed|deletion-while-in-use)$",
        r"step ([89]|1\d|2\d) ",
        TRUER + "a destroyed machine leaves its rules and groups",
    ),
    Expected(
        r"/(vm-duplicate-name|create-power-on-refused|aa-duplicate-name|aa-deleted|vm-group-deleted)$",
        r" error\.(message|initFailed\.reasons)",
        TRUER + "faults say a sentence",
    ),
    Expected(
        r"/(vm-cpus-zero|functions)$",
        r"(OutOfBand response\.cpus|Invoke response\.return\.(memory|numCpus|annotation"
        r"|swapPlacementPolicy|networkInterface\w+))",
        "the recorded template was another machine",
        needed=False,
    ),
    Expected(
        r"/vm-gpu$",
        r"bandwidthShareCount",
        "the recorded template had another network card, which was replaced",
    ),
    Expected(
        r"/plain-host-system-id-added-same-host$",
        r"step [4567] ",
        "vCenter chooses a host: the same one needs no move",
        needed=False,
    ),
    # Where the two plugins differ.
    Expected(
        r"^happy/|/required-missing$",
        r"Check response\.inputs\.name$",
        MEANT + "another way to make a name from the engine's seed",
        needed=False,
    ),
    Expected(r"/vm-group-duplicate-name$", r"error\.message", MEANT + "vCenter's reason is shown"),
    Expected(
        r"/configure-(unreachable|unknown-name|verify-certificate)$",
        r"error\.message",
        MEANT + "the reason in the words of this machine, not of a Go library",
    ),
    Expected(
        r"/vm-tag-unknown$|/create-no-address(?!-no-wait)|/create-power-on-refused$",
        r"initFailed\.properties\.(disks|networkInterfaces)\[\d\]",
        MEANT + "what is kept of an unfinished machine names its disks and cards by true keys",
    ),
    Expected(
        r"/aa-no-vms$",
        r"step [23] ",
        MEANT + "a rule of nobody is refused, by a real vCenter too",
    ),
    Expected(
        r"/vm-customize-unsupported$",
        r"clone\.customize|error\.message",
        DEBT + "guest customisation; it is refused, and nothing is left",
    ),
)


def expected(case: Case) -> tuple[Expected, ...]:
    """Return the exceptions of one case."""
    return tuple(e for e in EXCEPTIONS if re.search(e.case, case.id))
