"""The second lab of ``make test``: lent to the killed ``make up``, tested on, always removed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab.front.processes import Stopped
from lab.front.stages import Stages
from lab.testrun import ownlab, run, soak
from lab.testrun.run import LENT_LAB, Run, with_knowledge

ROOT = Path(__file__).resolve().parents[3]
LAB = "t0abc1"


class Recorded(Run):
    """A run whose pytest stages are noted; ``ends`` says how each of them ends."""

    def __init__(self, ends: Mapping[str, bool | BaseException]) -> None:
        super().__init__("t0main")
        self.ends = ends
        self.ran: list[tuple[str, str, Mapping[str, str]]] = []

    def pytest(
        self,
        name: str,
        about: str,
        path: str,
        *options: str,
        env: Mapping[str, str] | None = None,
    ) -> bool:
        assert held(LAB), "nobody else may take its lab for abandoned"
        self.ran.append((name, path, env or self.env))
        end = self.ends[name]
        if isinstance(end, BaseException):
            raise end
        return end


def held(identity: str) -> bool:
    """Whether a run that looks for abandoned labs would leave this one alone."""
    removed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ownlab, "remove", lambda name: removed.append(name) or True)
        ownlab.remove_abandoned(Stages())
    return identity not in removed


@pytest.fixture(autouse=True)
def removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which labs are removed; whatever is written goes to a folder of the test."""
    names: list[str] = []
    monkeypatch.setattr(ownlab, "_OWNERS", tmp_path / "owners")
    monkeypatch.setattr(ownlab, "remove", lambda name: names.append(name) or True)
    monkeypatch.setattr(run, "CHECKOUT", tmp_path)
    return names


def test_the_sample_runs_on_the_lab_that_the_killed_up_leaves(removed: list[str]) -> None:
    work = Recorded({"chaos": True, "knowledge": True})
    with_knowledge(work, LAB)
    (chaos, chaos_path, lent), (knowledge, path, env) = work.ran
    assert (chaos, chaos_path, knowledge, path) == (
        "chaos", "tests/chaos", "knowledge", "tests/knowledge",
    )  # fmt: skip
    # With PERMAFROST_LAB the test itself would count as at work on the lab.
    assert lent == {LENT_LAB: LAB}
    assert env["PERMAFROST_LAB"] == LAB
    assert env["PERMAFROST_SITE"].endswith(f"/.lab/{LAB}/site.yaml")
    assert LENT_LAB not in env
    assert removed == [LAB]
    assert (work.tally.failed, work.tally.passed) == (0, 1)
    assert not list(ownlab._OWNERS.iterdir())


def test_a_lab_that_did_not_come_up_is_not_tested_on_and_removed(removed: list[str]) -> None:
    work = Recorded({"chaos": False})
    with_knowledge(work, LAB)
    assert [name for name, _, _ in work.ran] == ["chaos"]
    assert removed == [LAB]


@pytest.mark.parametrize("stage", ["chaos", "knowledge"])
def test_a_run_that_is_asked_to_end_removes_it(removed: list[str], stage: str) -> None:
    work = Recorded({"chaos": True, "knowledge": True, stage: Stopped("SIGTERM")})
    with pytest.raises(Stopped):
        with_knowledge(work, LAB)
    assert removed == [LAB]


def test_a_lab_of_a_run_that_was_killed_is_removed_by_the_next(removed: list[str]) -> None:
    code = (
        "import sys; from pathlib import Path; from lab.testrun import ownlab\n"
        f"ownlab._OWNERS = Path({str(ownlab._OWNERS)!r})\n"
        f"with ownlab.owned({LAB!r}): print('held', flush=True); sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=pipe, stdout=pipe
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        ownlab.remove_abandoned(Stages())
        assert removed == []
        other.send_signal(signal.SIGKILL)
        other.wait(30)
    ownlab.remove_abandoned(Stages())
    assert removed == [LAB]


def test_soak_gives_no_family_a_site_that_somebody_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []

    def call(argv: tuple[str, ...], **_: object) -> int:
        seen.append(argv)
        return 0

    monkeypatch.setattr(soak, "call", call)
    part = soak._Part(Run("t0soak"), 1e12, "1/1", tmp_path / "ledger")
    part.run("tests/knowledge")
    part.run("tests/acceptance", on_the_shared_site=True)
    own, shared = (argv for argv in seen if "--collect-only" not in argv)
    assert own[:3] == ("env", f"--unset={LENT_LAB}", "--unset=PERMAFROST_SITE")
    assert "env" not in shared


def collected(*options: str) -> tuple[set[str], str]:
    """Return the tests that pytest would run, without their file, and its closing line."""
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "lab.testrun.plugin"]
    argv += [*options, "tests/chaos", "tests/knowledge"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=240, check=True)
    lines = done.stdout.splitlines()
    return {line.partition("::")[2] for line in lines if "::" in line}, lines[-1]


@pytest.mark.thorough
def test_a_quick_run_does_one_killed_up_and_one_event_of_each_kind_and_soak_does_all() -> None:
    sample, _ = collected("-m", "not soak", "--sample=0f06e01bc250")
    for family in ("test_up_killed_and_run_again_ends_well[", "test_a_role_is_killed["):
        assert len([name for name in sample if name.startswith(family)]) == 1, family
    for one in (
        "test_status_says_what_answers_right",
        "test_fifty_thousand_vectors_are_found_through_the_edge",
        "test_a_user_may_do_what_the_site_file_grants_and_no_more",
        "test_without_tls_or_with_another_authority_there_is_no_connection",
        "test_a_wrong_user_is_refused[app-wrong]",
    ):
        assert one in sample
    assert len(sample) <= 12, "a quick run is quick"
    every, closing = collected(*soak._OFTEN)
    assert sample < every
    assert "deselected" not in closing, closing
