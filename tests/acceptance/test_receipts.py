"""What a person does in one go ends with a receipt in the chain, and nothing secret is in it.

Keys, accepted settings, a recorded fingerprint, a node configured by hand; a repair after a killed
``pulumi up`` is in test_up_killed.py, a member's rebuild in tests/knowledge. The control of each:
`receipt verify` finds an edit of just that receipt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from tests.acceptance.chain import Chain, parts
from tests.acceptance.conftest import replica_state
from tests.acceptance.driver import Cli, VCenter, losses, traffic

On = Callable[[str], Any]
Status = Callable[[], dict[str, Any]]
DRS = "DRIFT_DRS_CHANGED"


@pytest.fixture
def chain(permafrost: Cli, site_file: Path) -> Chain:
    """The site's receipts."""
    return Chain(permafrost, site_file.parent / "state/receipts")


@pytest.fixture
def nobody(permafrost: Cli) -> Iterator[str]:
    """A client's name that nobody has, also afterwards."""
    yield "auditor"
    permafrost.run("client", "revoke", "auditor", "--yes", expect=None)


def test_a_clients_keys_that_come_and_go(permafrost: Cli, chain: Chain, nobody: str) -> None:
    made = permafrost.json("client", "add", nobody, "--yes")
    told = chain.told(made["receipt"])
    assert (told["command"], told["target"]) == ("client add", nobody)
    assert (told["before"]["valid_keys"], told["evidence"]["valid_keys"]) == (0, 1)
    chain.require_absent(made["key"])
    refused = permafrost.run("client", "add", nobody, "--yes", "--output", "json", expect=3)
    assert json.loads(refused.stderr)[0]["code"] == "CLIENT_EXISTS"
    assert chain.told(made["receipt"]) == told, "what was refused has none"
    gone = permafrost.json("client", "revoke", nobody, "--yes")
    told = chain.told(gone["receipt"])
    assert (told["command"], told["evidence"]["valid_keys"]) == ("client revoke", 0)
    chain.require_finds(gone["receipt"], f'"target": "{nobody}"', '"target": "somebody"')


@pytest.fixture
def drs(vsphere: VCenter, permafrost: Cli) -> Iterator[Callable[[str], None]]:
    """Somebody changes the automation level of DRS; it is put back, and accepted, afterwards."""
    (cluster,) = vsphere.all(vim.ClusterComputeResource)
    before = cluster.configurationEx.drsConfig.defaultVmBehavior

    def change(level: str) -> None:
        config = vim.cluster.DrsConfigInfo(defaultVmBehavior=level)
        spec = vim.cluster.ConfigSpecEx(drsConfig=config)
        vsphere.await_task(cluster.ReconfigureComputeResource_Task(spec, True))

    yield change
    change(before)
    permafrost.run("drift", "--accept", "--yes", expect=None)
    assert permafrost.json("drift")["drift"] == []


@pytest.mark.soak
def test_settings_that_are_accepted(
    permafrost: Cli, chain: Chain, drs: Callable[[str], None]
) -> None:
    drs("partiallyAutomated")
    shown = permafrost.run("drift", "--output", "json", expect=4)
    assert {d["code"] for d in json.loads(shown.stdout)["drift"]} == {DRS}
    done = permafrost.json("drift", "--accept", "--yes")
    assert done["drift"] == []
    told = chain.told(done["receipt"])
    assert (told["command"], told["operation"]) == ("drift accept", done["operation"])
    was, became = (told[k]["baseline"]["settings"] for k in ("before", "evidence"))
    assert (was["drs_automation"], became["drs_automation"]) == (
        "fullyAutomated",
        "partiallyAutomated",
    )
    chain.require_finds(done["receipt"], '"partiallyAutomated"', '"fullyAutomated"')


@pytest.mark.soak
def test_a_fingerprint_that_is_recorded(permafrost: Cli, chain: Chain, on: On) -> None:
    """Neither what was asked nor what was answered is in it; what is compared has none."""
    name = "lab-pulse-02"
    permafrost.run("drain", name, "--yes")
    try:
        done = permafrost.json("model", "fingerprint", "record", name, "--yes", timeout=600)
        told = chain.told(done["receipt"])
        compared = permafrost.json("model", "fingerprint", "compare", name, timeout=600)
    finally:
        permafrost.run("undrain", name, "--yes")
    assert (told["command"], told["target"]) == ("fingerprint record", name)
    assert told["evidence"]["checkpoint"] == done["checkpoint"]
    assert told["evidence"]["probe_set"] == done["probe_set"]
    assert compared["receipt"] is None
    kept = on(name).check_output("find /etc/permafrost -name 'fingerprint*.json'").split()
    known = [json.loads(on(name).check_output(f"cat {file}")) for file in kept]
    (probes,) = [k["probes"] for k in known if k["checkpoint"] == done["checkpoint"]]
    assert probes
    for probe in probes:
        chain.require_absent(json.dumps(probe["token_ids"]))
        chain.require_absent(probe["text_input"])
    assert "token_ids" not in json.dumps(told)
    chain.require_finds(done["receipt"], done["checkpoint"], "sha256:" + "0" * 64)


@pytest.mark.soak
def test_a_replica_and_an_edge_that_are_configured_by_hand(
    permafrost: Cli, lab: Cli, chain: Chain, status: Status, tmp_path: Path
) -> None:
    """Under load: drain and admission of the replica are told as its parts."""
    name = "lab-pulse-02"
    standby = next(e["name"] for e in status()["edges"] if not e["holds_vip"])
    with traffic(lab, "pulse", 20, 600, 0.5, tmp_path / "pulse.jsonl") as load:
        load.await_steady()
        before = chain.files()
        done = permafrost.json("converge", name, "--yes", timeout=600)
        told = chain.told(done["receipt"])
        assert [r["command"] for r in chain.since(before)] == ["converge"], "its parts write none"
        assert replica_state(status(), name) == "ADMITTED"
        assert (told["command"], told["target"]) == ("converge", name)
        assert told["before"]["was"] == "ADMITTED"
        assert parts(told) == [f"drain {name}", f"undrain {name}"]
        assert {p["outcome"] for p in told["parts"]} == {"DONE"}
        assert told["requests"]["completed"] > 0
        assert told["evidence"]["node"] == name
        edge = permafrost.json("converge", standby, "--yes", timeout=600)
        assert parts(chain.told(edge["receipt"])) == []
        checked = permafrost.json("converge", name, "--check", timeout=600)
        assert (checked["changed"], checked["receipt"]) == (0, None)
        load.end()
        summary = load.finish()
    assert losses(summary) == (0, 0, 0), summary
    chain.require_finds(edge["receipt"], f'"target": "{standby}"', '"target": "lab-edge-09"')
