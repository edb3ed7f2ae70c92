"""The nodes from inside, with testinfra over SSH: pinned, non-root, closed, settled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import replica_state
from tests.acceptance.driver import Cli

FLIP = """
import os, stat, sys
name = sys.argv[1]
mode = stat.S_IMODE(os.stat(name).st_mode)
os.chmod(name, 0o644)
with open(name, "r+b") as file:
    file.seek(-99, os.SEEK_END)
    byte = file.read(1)[0]
    file.seek(-99, os.SEEK_END)
    file.write(bytes([byte ^ 1]))
os.chmod(name, mode)
"""
REPLICAS = [f"lab-{e}-{n:02}" for e in ("chat", "pulse") for n in (1, 2, 3)]


@pytest.fixture
def host(request: pytest.FixtureRequest, on: Callable[[str], Any]) -> Any:
    return on(request.param)


@pytest.mark.parametrize("host", REPLICAS, indirect=True)
def test_triton_runs_a_pinned_image_without_root(host: Any) -> None:
    assert host.service("triton-a.service").is_running
    assert not host.service("triton-b.service").is_running
    unit = host.file("/etc/containers/systemd/triton-a.container").content_string
    assert re.search(r"^Image=\S+@sha256:[0-9a-f]{64}$", unit, re.MULTILINE)
    users = host.check_output("ps -C tritonserver -o user= | sort -u").split()
    assert users
    assert "root" not in users


@pytest.mark.parametrize("host", REPLICAS, indirect=True)
def test_only_ssh_and_the_tls_port_are_open_to_others(host: Any) -> None:
    listening = host.check_output("ss -Htln | awk '{print $4}'").split()
    outside = {a for a in listening if not a.startswith(("127.", "[::1]", "[::ffff:127."))}
    assert {a.rpartition(":")[2] for a in outside} <= {"22", "8443"}


@pytest.mark.parametrize("host", REPLICAS, indirect=True)
def test_the_served_bytes_are_the_pinned_checkpoint(host: Any, permafrost: Cli) -> None:
    name = host.check_output("hostname")
    status = permafrost.json("status")
    pinned = next(
        r["checkpoint"] for e in status["endpoints"] for r in e["replicas"] if r["name"] == name
    )
    state = json.loads(host.check_output("permafrost-node state --json"))
    assert state["checkpoint"] == pinned
    assert state["state"] == "ADMITTED"
    tree = f"/var/lib/permafrost/models/trees/{pinned.replace(':', '-')}"
    manifest = host.check_output(
        f"sha256sum /var/lib/permafrost/models/blobs/sha256/{pinned.removeprefix('sha256:')}"
    ).split()[0]
    assert f"sha256:{manifest}" == pinned
    assert not host.run(f"sudo -u nobody touch {tree}/x").succeeded


@pytest.mark.parametrize(
    "host", ["lab-edge-01", "lab-edge-02", "lab-chat-01", "lab-pulse-01"], indirect=True
)
def test_no_unit_has_failed(host: Any) -> None:
    assert host.check_output("systemctl --failed --plain --no-legend") == ""


@pytest.mark.parametrize("host", ["lab-chat-01"], indirect=True)
def test_a_flipped_byte_keeps_triton_from_starting(host: Any, permafrost: Cli) -> None:
    """Verified at each load: the control for "the bytes are the pinned ones"."""
    digest = json.loads(host.check_output("permafrost-node state --json"))["checkpoint"]
    tree = f"/var/lib/permafrost/models/trees/{digest.replace(':', '-')}"
    weights = host.check_output(f"find {tree} -name '*.gguf'")
    host.check_output(f"cat > /tmp/flip.py <<'END'\n{FLIP}\nEND")
    permafrost.run("drain", "lab-chat-01", "--yes")
    try:
        host.check_output(f"python3 /tmp/flip.py {weights}")
        assert not host.run("systemctl restart triton-a.service").succeeded
        journal = host.check_output("journalctl -u triton-a.service -n 50 --no-pager")
        assert weights.rpartition("/")[2] in journal
        done = permafrost.run("undrain", "lab-chat-01", "--yes", expect=None)
        assert done.returncode in (3, 4)
        assert "CHECKPOINT_BYTES_WRONG" in done.stderr, done.stderr
        assert weights.rpartition("/")[2] in done.stderr
        assert replica_state(permafrost.json("status"), "lab-chat-01") != "ADMITTED"
    finally:
        host.check_output(f"python3 /tmp/flip.py {weights}")
        host.run("systemctl reset-failed triton-a.service")
        host.run("systemctl restart triton-a.service")
        permafrost.run("undrain", "lab-chat-01", "--yes")


@pytest.mark.parametrize("host", ["lab-pulse-03"], indirect=True)
def test_every_byte_is_read_on_a_timer_and_a_finding_is_shown(host: Any, permafrost: Cli) -> None:
    name = host.check_output("hostname")
    assert host.service("permafrost-node-scrub.timer").is_running
    digest = json.loads(host.check_output("permafrost-node state --json"))["checkpoint"]
    host.check_output("systemctl start permafrost-node-scrub.service")
    told = json.loads(host.check_output("permafrost-node state --json"))["scrub"]
    assert told["wrong"] == []
    weights = f"/var/lib/permafrost/models/trees/{digest.replace(':', '-')}/pulse.weights"
    host.check_output(f"cat > /tmp/flip.py <<'END'\n{FLIP}\nEND")
    host.check_output(f"python3 /tmp/flip.py {weights}")
    try:
        assert not host.run("systemctl start permafrost-node-scrub.service").succeeded
        replica = next(
            r
            for e in permafrost.json("status")["endpoints"]
            for r in e["replicas"]
            if r["name"] == name
        )
        assert "pulse.weights" in replica["reason"]
    finally:
        host.check_output(f"python3 /tmp/flip.py {weights}")
        host.check_output("systemctl start permafrost-node-scrub.service")
    assert json.loads(host.check_output("permafrost-node state --json"))["scrub"]["wrong"] == []


@pytest.mark.parametrize("host", ["lab-pulse-03"], indirect=True)
def test_what_a_convergence_that_was_cut_off_has_left_is_finished(
    host: Any, permafrost: Cli
) -> None:
    """Cut off when the package source was written and not read, in the middle of dpkg."""
    host.check_output("dpkg --remove --force-depends conmon")
    host.check_output("find /var/lib/apt/lists -type f -delete; rm /var/lib/apt/permafrost-source")
    host.check_output("touch /var/lib/dpkg/updates/0000")
    assert host.run("apt-get install --yes conmon").rc != 0, "the control: by itself it does not"
    permafrost.run("converge", "lab-pulse-03", "--yes", timeout=600)
    assert host.package("conmon").is_installed


@pytest.mark.parametrize(
    "of_each_kind", [1, pytest.param(None, marks=pytest.mark.soak)], ids=["one of each", "all"]
)
def test_a_second_convergence_changes_nothing(
    of_each_kind: int | None,
    shell: Callable[..., Any],
    status: Callable[[], dict[str, Any]],
    site_file: Path,
) -> None:
    """The same playbooks once more, by Ansible's own word; two nodes at a time."""
    seen = status()
    kinds = [*(e["replicas"] for e in seen["endpoints"]), seen["edges"]]
    assert [len(nodes) for nodes in kinds] == [3, 3, 2]
    nodes = [node["name"] for nodes in kinds for node in nodes[:of_each_kind]]

    def again(name: str) -> int:
        line = f"permafrost converge {name} --check --output json"
        return int(json.loads(shell(line, timeout=240).stdout)["changed"])

    with ThreadPoolExecutor(2) as pool:
        changed = dict(zip(nodes, pool.map(again, nodes), strict=True))
    assert not any(changed.values()), (changed, site_file.parent / "state/ansible")
