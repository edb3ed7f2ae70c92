"""A raw ``pulumi`` typed by a person is as safe as the product's own command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.driver import ROOT, Cli

Shell = Callable[..., Any]


def changes(shell: Shell, command: str) -> dict[str, int]:
    """Return the engine's own change summary of a command, without what stays the same."""
    done = shell(f"pulumi {command} --json --non-interactive")
    summary = json.loads(done.stdout)["changeSummary"]
    return {kind: n for kind, n in summary.items() if kind != "same" and n}


def test_preview_is_clean(shell: Shell) -> None:
    assert changes(shell, "preview") == {}


def test_refresh_finds_nothing_and_the_next_preview_is_clean(shell: Shell) -> None:
    shell("pulumi refresh --yes --non-interactive --expect-no-changes")
    assert changes(shell, "preview") == {}


def test_a_second_up_changes_nothing(shell: Shell) -> None:
    done = shell("pulumi up --yes --non-interactive --expect-no-changes")
    assert "unchanged" in done.stdout


def test_deploy_after_a_raw_up_has_nothing_to_do(permafrost: Cli) -> None:
    assert permafrost.json("plan")["steps"] == []
    receipt = permafrost.json("deploy", "--yes")
    assert receipt["changed"] == 0, receipt


def test_no_tracked_file_is_changed_by_it() -> None:
    diff = Cli(Path("/usr/bin/git")).run("status", "--porcelain", "Pulumi.yaml", "Pulumi.lab.yaml")
    assert diff.stdout == ""


def test_the_state_holds_no_code_and_no_secret(shell: Shell, site_file: Path) -> None:
    state = json.loads(shell("pulumi stack export").stdout)
    text = json.dumps(state)
    resources = state["deployment"]["resources"]
    dynamic = [r for r in resources if r["type"].startswith("pulumi-python:dynamic")]
    assert len(dynamic) >= 7, "one convergence a node"
    for resource in dynamic:
        assert len(json.dumps(resource)) < 20_000
    assert "PRIVATE KEY" not in text
    for secret in ("vcenter/password", "state/passphrase"):
        file = site_file.parent / secret
        if file.exists():
            assert file.read_text(encoding="utf-8").strip() not in text


def test_a_plain_destroy_is_refused_and_removes_nothing(shell: Shell, permafrost: Cli) -> None:
    before = permafrost.json("status")
    for more in ("", "--run-program"):
        done = shell(f"pulumi destroy --yes --non-interactive {more}", expect=None)
        assert done.returncode != 0
    after = permafrost.json("status")
    names = [[r["name"] for r in e["replicas"]] for e in before["endpoints"]]
    assert [[r["name"] for r in e["replicas"]] for e in after["endpoints"]] == names
    assert after["healthy"]


def test_the_repository_is_the_program() -> None:
    assert "main: infra" in (ROOT / "Pulumi.yaml").read_text(encoding="utf-8")
