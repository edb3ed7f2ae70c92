"""A deployment that is killed (-9) while a VM is off, and `permafrost resume`, under load."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.driver import ROOT, Cli, VCenter, traffic, wait_until
from tests.acceptance.test_update import with_pulse_cpus

PULSE = [f"lab-pulse-{n:02}" for n in (1, 2, 3)]
RESUME_S = 1800.0


@pytest.mark.soak
def test_a_deployment_killed_half_way_is_resumed(
    permafrost: Cli, lab: Cli, vsphere: VCenter, site_file: Path, tmp_path: Path
) -> None:
    before = vsphere.vm(PULSE[0]).config.hardware.numCPU
    text = site_file.read_text(encoding="utf-8")
    site_file.write_text(with_pulse_cpus(text, before + 1), encoding="utf-8")
    vms = [vsphere.vm(name) for name in PULSE]
    log = (tmp_path / "deploy.log").open("wb")
    with traffic(lab, "pulse", 30, 3600, 0.5, tmp_path / "resume.jsonl") as load:
        load.await_steady()
        deploy = subprocess.Popen(
            [str(permafrost.program), "deploy", "--yes"],
            env=permafrost.env, cwd=ROOT, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            wait_until(
                "a VM of pulse is off",
                lambda: any(vm.runtime.powerState == "poweredOff" for vm in vms),
                600,
            )
            assert deploy.poll() is None, "it was over before it could be killed"
        finally:
            os.kill(deploy.pid, signal.SIGKILL)
            deploy.wait(10)
            log.close()
        found = permafrost.json("resume", "--plan-only")
        assert {r["kind"] for r in found["repairs"]} >= {"remove-lock", "clear-pending"}
        assert found["operation"]
        resumed = permafrost.json("resume", "--yes", timeout=RESUME_S)
        load.end()
        outcomes = load.finish()["outcomes"]
    assert resumed["resumed"]["operation"] == found["operation"]
    assert (outcomes["failed"], outcomes["cut"], outcomes["wrong"]) == (0, 0, 0), outcomes
    assert {vm.config.hardware.numCPU for vm in vms} == {before + 1}
    assert permafrost.json("plan")["steps"] == [], "an untargeted preview is clean"
    assert permafrost.json("status")["healthy"]
    # The control: now nothing is left to go on with.
    assert permafrost.json("resume", "--yes")["repairs"] == []
