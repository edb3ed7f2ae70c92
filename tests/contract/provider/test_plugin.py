"""What the recorded cases cannot tell of the plugin: cancelled, and killed with its test."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lab.provider import package
from permafrost.adapters.pulumi_stack.repair import leftovers
from tests.contract.provider.administrator import PASSWORD, USER
from tests.contract.provider.binding import Binding, resolve
from tests.contract.provider.cases import load
from tests.contract.provider.engine import Answer, Plugin
from tests.contract.provider.replay import PLUGIN, REQUEST, Bench

SOON_S = 20.0


def configured(bench: Bench) -> Plugin:
    """Return a plugin of its own: one that was cancelled is of no more use."""
    plugin = Plugin(PLUGIN)
    config = {"user": USER, "password": PASSWORD, "vsphereServer": bench.server}
    _, error = plugin.ask("Configure", {"news": {**config, "allowUnverifiedSsl": True}})
    assert error is None
    return plugin


def creation_without_address(bench: Bench, plugin: Plugin) -> dict[str, Any]:
    """Return the request that makes a VM whose guest never says its address."""
    case = next(c for c in load() if c.id == "robustness/create-no-address")
    binding = Binding({**bench.environment, "<server>": bench.server})
    check = binding.fill({k: case.steps[0][k] for k in REQUEST if k in case.steps[0]})
    checked, error = plugin.ask("Check", check)
    assert error is None
    create = binding.fill({k: case.steps[1][k] for k in REQUEST if k in case.steps[1]})
    return resolve(create, [{"request": check, "response": checked, "error": None}])


def test_a_cancelled_creation_keeps_the_machine_that_exists(bench: Bench) -> None:
    with configured(bench) as plugin:
        question = creation_without_address(bench, plugin)
        before = len(bench.vcenter.power_events())
        answers: list[Answer] = []
        asking = threading.Thread(target=lambda: answers.append(plugin.ask("Create", question)))
        began = time.monotonic()
        asking.start()
        while len(bench.vcenter.power_events()) == before:
            assert time.monotonic() - began < SOON_S, "it was never switched on"
            time.sleep(0.02)
        plugin.cancel()
        asking.join(SOON_S)
        assert not asking.is_alive(), "the creation goes on waiting for a guest"
        got, error = answers[0]
        assert got is None
        assert error is not None
        assert "cancelled" in error["message"]
        kept = error["initFailed"]
        state = bench.vcenter.admin.do("state", {"vm": question["news"]["name"]})
        assert state["exists"]
        assert state["power"] == "poweredOn"
        # What is kept is enough to go on with: another engine finds it by its id, and removes it.
    with configured(bench) as other:
        asked = {k: question[k] for k in ("type", "resource")}
        known = {"id": kept["id"], "properties": kept["properties"]}
        read, error = other.ask("Read", {**asked, **known})
        assert error is None
        assert read is not None
        assert read["id"] == kept["id"]
        _, error = other.ask("Delete", {**asked, "id": kept["id"], "olds": kept["properties"]})
        assert error is None
    assert not bench.vcenter.admin.do("state", {"vm": question["news"]["name"]})["exists"]


HOLDER = """
    import sys, time
    from pathlib import Path
    from tests.contract.provider.engine import Plugin
    from tests.contract.provider.replay import PLUGIN
    from tests.contract.provider.vcenter import VCenter

    with VCenter(Path(sys.argv[1])) as center, Plugin(PLUGIN) as plugin:
        print(center.pid, plugin.pid, flush=True)
        time.sleep(600)
"""


def is_running(pid: int) -> bool:
    """Say whether a process lives; one that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_run_that_is_killed_leaves_no_process(vcenter_program: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), str(vcenter_program)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    started = [int(pid) for pid in holder.stdout.readline().split()]
    assert len(started) == 2
    assert all(is_running(pid) for pid in started)
    holder.send_signal(signal.SIGKILL)
    holder.wait(SOON_S)
    deadline = time.monotonic() + SOON_S
    while any(is_running(pid) for pid in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in started if is_running(pid)]


def test_a_repair_knows_the_installed_plugin_as_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = package.installed(tmp_path)
    program.parent.mkdir(parents=True)
    program.write_text(package.script())
    program.chmod(0o755)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nowhere/pulumi")
    monkeypatch.setenv("PULUMI_STACK", "lab")
    with Plugin([str(program)]) as plugin:
        assert leftovers("file:///nowhere/pulumi", "lab") == (plugin.pid,)
    assert leftovers("file:///nowhere/pulumi", "lab") == ()
