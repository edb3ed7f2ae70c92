"""A raw ``pulumi up`` that must power-cycle every replica of an endpoint, under load."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.driver import Cli, VCenter, traffic

Shell = Callable[..., Any]


def with_pulse_cpus(text: str, cpus: int) -> str:
    """Return the site file with another CPU count for the VMs of pulse."""
    head, mark, tail = text.partition("  pulse:")
    changed, count = re.subn(r"cpus: \d+", f"cpus: {cpus}", tail, count=1)
    assert count == 1, "the site file says how many CPUs a pulse VM has"
    return head + mark + changed


def test_more_cpus_for_every_replica_one_vm_at_a_time(
    shell: Shell, permafrost: Cli, lab: Cli, vsphere: VCenter, site_file: Path, tmp_path: Path
) -> None:
    names = [f"lab-pulse-{n:02}" for n in (1, 2, 3)]
    before = vsphere.vm(names[0]).config.hardware.numCPU
    text = site_file.read_text(encoding="utf-8")
    site_file.write_text(with_pulse_cpus(text, before + 2), encoding="utf-8")
    with traffic(lab, "pulse", 60, 900, 0.5, tmp_path / "update.jsonl") as load:
        load.await_steady()
        load.mark()
        shell("pulumi up --yes --non-interactive", timeout=600)
        load.mark()
        load.end()
        summary = load.finish()
    assert {vsphere.vm(n).config.hardware.numCPU for n in names} == {before + 2}
    assert permafrost.json("status")["healthy"]
    outcomes = summary["outcomes"]
    assert (outcomes["failed"], outcomes["cut"], outcomes["wrong"]) == (0, 0, 0), summary
    assert min(summary["in_flight_at"].values()) >= 200, summary["in_flight_at"]
    assert len(summary["replicas"]) == len(names)
