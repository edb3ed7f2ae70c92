"""A typed ``pulumi up`` killed (-9) while a replica is power-cycled under load, and resumed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.chain import Chain
from tests.acceptance.conftest import replica_state
from tests.acceptance.driver import Cli, VCenter, losses, traffic, wait_until
from tests.acceptance.powerevents import latest, power_events, turns
from tests.acceptance.test_update import with_pulse_cpus

pytestmark = pytest.mark.soak

Shell = Callable[..., Any]
Status = Callable[[], dict[str, Any]]
PULSE = [f"lab-pulse-0{i}" for i in (1, 2, 3)]
RATE, AT_MOST_S, RESUME_S = 60, 1500, 1200


@contextmanager
def typed_up(permafrost: Cli, said: Path) -> Iterator[int]:
    """A `pulumi up` that somebody typed: yields its process; it is ended with the block."""
    line = (
        f'eval "$({permafrost.program} env)"; '
        f"exec pulumi up --yes --non-interactive --skip-preview > {said} 2>&1"
    )
    bash = Cli(Path("/bin/bash"), permafrost.env)
    with bash.begun("-ec", line) as process:
        yield process.pid


def test_killed_while_a_replica_is_off_then_resumed(
    permafrost: Cli,
    lab: Cli,
    shell: Shell,
    status: Status,
    vsphere: VCenter,
    site_file: Path,
    tmp_path: Path,
) -> None:
    chain = Chain(permafrost, site_file.parent / "state/receipts")
    cpus = {n: vsphere.vm(n).config.hardware.numCPU for n in PULSE}
    wanted = cpus[PULSE[0]] + 2
    text = site_file.read_text(encoding="utf-8")
    site_file.write_text(with_pulse_cpus(text, wanted), encoding="utf-8")
    machines, since = {n: vsphere.vm(n) for n in PULSE}, latest(vsphere)

    def off() -> list[str]:
        return [n for n, vm in machines.items() if vm.runtime.powerState == "poweredOff"]

    with traffic(lab, "pulse", RATE, AT_MOST_S, 0.5, tmp_path / "pulse.jsonl") as load:
        load.await_steady()
        load.mark()
        with typed_up(permafrost, tmp_path / "up.log") as pid:
            victim = wait_until("a replica is off", off, 300, every_s=0.1)[0]
            os.kill(pid, signal.SIGKILL)
        load.mark()
        seen = status()
        assert replica_state(seen, victim) != "ADMITTED"
        others = [n for n in PULSE if n != victim]
        assert {replica_state(seen, n) for n in others} == {"ADMITTED"}, "its turn ends it"
        found = permafrost.json("resume", "--plan-only")
        kinds = {r["kind"] for r in found["repairs"]}
        assert {"remove-lock", "clear-pending"} <= kinds, found
        # The control: who only types it again is told of the lock, and nothing is touched.
        before = chain.files()
        again = shell("pulumi up --yes --non-interactive --skip-preview", expect=None)
        assert again.returncode != 0
        assert "currently locked" in again.stdout + again.stderr
        load.mark()
        done = permafrost.json("resume", "--yes", timeout=RESUME_S)
        load.mark()
        load.end()
        summary = load.finish()
    assert done["healthy"]
    assert {"remove-lock", "clear-pending"} <= {r["kind"] for r in done["resumed"]["repairs"]}
    repaired, deployed = chain.since(before)
    assert (repaired["command"], deployed["command"]) == ("repair", "deploy")
    assert repaired["before"]["repairs"] == done["resumed"]["repairs"]
    assert (repaired["state"], repaired["evidence"]) == ("done", {"left": []})
    chain.require_finds(done["resumed"]["receipt"], '"remove-lock"', '"remove-look"')
    assert losses(summary) == (0, 0, 0), summary
    assert summary["duplicated"] == 0
    assert min(summary["in_flight_at"].values()) >= 200, summary["in_flight_at"]
    assert {vsphere.vm(n).config.hardware.numCPU for n in PULSE} == {wanted}
    touched = turns(power_events(vsphere, since), PULSE)
    assert touched[0] == victim
    assert sorted(touched) == PULSE, "one after the other, and nobody twice"
    shell("pulumi preview --non-interactive --expect-no-changes")
    assert permafrost.json("plan")["steps"] == []
