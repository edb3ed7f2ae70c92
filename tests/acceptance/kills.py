"""At which steps a live maintenance and a live upgrade are killed: every kind, in its order.

A unit test (tests/unit/runbook/test_killed_steps.py) holds these lists against the planner's.
"""

from __future__ import annotations

DRAIN = ["declare-draining", "set-edges-to-drain", "await-idle", "declare-drained"]
MAINTENANCE = {
    "enter": [
        "record-maintenance",
        "move-vm",
        *DRAIN,
        "shut-down",
        "enter-maintenance-mode",
    ],
    "exit": [
        "record-maintenance",
        "exit-maintenance-mode",
        "move-vm",
        "power-on",
        "await-answer",
        "prove",
        "set-edges-to-ready",
        "await-up",
        "declare-admitted",
        "forget-maintenance",
    ],
}
RACK = {
    "enter": [kind for kind in MAINTENANCE["enter"] if kind != "move-vm"],
    "exit": MAINTENANCE["exit"],
}
"""Of a whole rack: DRS, which would bring an edge back, moves it as the hosts close."""
IN_AND_OUT = [
    ("set-edges-to-drain", "exit-maintenance-mode"),
    ("declare-drained", "power-on"),
    ("shut-down", "prove"),
    ("enter-maintenance-mode", "declare-admitted"),
]
"""Of these ``make test`` kills one on the way in and one on the way out; soak all."""

BESIDE = ["record-release", "load-slot", "await-slot", "prove-slot", "await-slot-up", "cut-over"]
ROLLING = [
    "record-release",
    "fetch-checkpoint",
    *DRAIN,
    "exchange-slot",
    "await-slot",
    "prove-slot",
    "set-edges-to-let-in",
    "await-slot-up",
    "declare-admitted",
    "canary",
    "set-share",
    "cut-over",
    "keep-pins",
]
ROLLING_ASKED = ("--way", "rolling", "--allow-mixed", "--canary", "20", "--canary-for", "10",
                 "--keep-pins", "5")  # fmt: skip
"""A rolling upgrade in which every kind of step on slots occurs."""

PERHAPS_TRUE = frozenset({"await-slot", "await-slot-up"})
"""Steps that only wait: where all of them find it true already, there is no moment to kill."""

OF_MEMBERS = frozenset({"hand-over", "await-tier", "await-member", "declare-member-away"})
"""Kinds of a host on which a member of the knowledge tier stands, and of its own drain: killed on
fakes (tests/unit/runbook/test_members.py, test_member_drain.py), and this site has none."""

NOT_IN_THEM = OF_MEMBERS | {"await-slot-idle", "unload-slot", "declare-out"}
"""Kinds of `retire` and of an abort, and of a host that died: no step of a maintenance's or an
upgrade's own plan."""
