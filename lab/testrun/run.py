"""``make test``: everything that CI runs, on labs of its own.

The long builds start first; lint and unit tests run meanwhile. The lab is deployed once, by a raw
``pulumi up``; ``deploy`` must then find nothing to change. After it comes a second one, with a
knowledge tier: a killed ``make up`` that was run again, and on what it leaves a sample of the
tier's scenarios. Both are removed whatever happens.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from lab.front.instance import CHECKOUT, PROGRAMS, environment
from lab.front.processes import CommandFailed, Stopped, call, check, end, start
from lab.front.stages import Stages
from lab.front.up import build_command
from lab.testrun import ownlab
from lab.testrun.steps import (
    Step,
    go_steps,
    lint_steps,
    pytest_step,
    run_steps,
    sample_options,
    unit_step,
)
from lab.testrun.tally import Tally

START_NOTHING_AFTER_S = 72 * 60.0
"""A run takes 40 minutes, 65 on cores that others share; CI ends it after 90. What starts last,
with the removal of its lab, has what is left."""
KNOWLEDGE = CHECKOUT / "sites" / "lab-knowledge.yaml"
LENT_LAB = "PERMAFROST_LENT_LAB"
"""Names an instance that a test is to make; whoever named it goes on with it and removes it."""
_BUILD_TIMEOUT_S = 3600.0
_PART_TIMEOUT_S = 1200.0
_PYTEST_TIMEOUT_S = 4200.0
# After a raw `pulumi up` a deployment verifies the site and has nothing to do.
_NOTHING_TO_DO = (
    "set -euo pipefail; receipt=$(permafrost deploy --yes --output json); "
    'python -c \'import json, sys; d = json.loads(sys.argv[1]); print(d["steps"]); '
    'sys.exit(d["changed"] != 0)\' "$receipt"'
)
_RAW_UP = 'set -euo pipefail; eval "$(permafrost env)"; pulumi up --yes --skip-preview'


def commit() -> str:
    """Return the commit under test; it chooses the samples."""
    argv = ["git", "-c", f"safe.directory={CHECKOUT}", "rev-parse", "HEAD"]
    done = subprocess.run(
        argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout.strip() or "none"


class Run:
    """One test run: its stages, its counts, its lab and its time."""

    def __init__(self, identity: str, sample: str = "") -> None:
        self.stages = Stages()
        self.tally = Tally()
        self.identity = identity
        self.sample = sample
        self.env = environment(identity)
        self.until = time.time() + START_NOTHING_AFTER_S
        self.folder = CHECKOUT / ".cache" / "testrun" / identity
        self.folder.mkdir(parents=True, exist_ok=True)

    def steps(self, name: str, about: str, steps: list[Step]) -> None:
        """Run steps as one stage."""
        with suppress(_StageFailed), self.stages.stage(name, about):
            if not run_steps(steps, self.stages, self.tally):
                raise _StageFailed

    def command(self, name: str, about: str, argv: list[str], timeout_s: float) -> None:
        """Run a command that the rest depends on. Raises when it fails."""
        try:
            with self.stages.stage(name, about):
                check(argv, cwd=CHECKOUT, env=self.env, timeout_s=timeout_s)
        except CommandFailed:
            self.tally.step(name, well=False)
            raise
        self.tally.step(name, well=True)

    def pytest(
        self,
        name: str,
        about: str,
        path: str,
        *options: str,
        env: Mapping[str, str] | None = None,
    ) -> bool:
        """Run pytest with its output seen; say whether all went well.

        ``env``: of another lab than the run's first. No test starts after the run's last moment.
        """
        if not any((CHECKOUT / path).rglob("test_*.py")):
            return True
        until = f"--start-until={self.until}"
        told = self.folder / f"{_file(name)}-sample.json"
        sample = sample_options(self.sample, f"--sampled={told}")
        slow = ("--durations=12", "--durations-min=5")  # a run's time is dear: say who takes it
        quick = ("-m", "not soak", *sample, *slow, *options)
        step = pytest_step(name, (path,), self.folder, until, *quick)
        with suppress(_StageFailed), self.stages.stage(name, about):
            where = self.env if env is None else env
            status = call(step.argv, cwd=CHECKOUT, env=where, timeout_s=_PYTEST_TIMEOUT_S)
            self.tally.pytest(name, self.folder / f"{_file(name)}.xml", status)
            self.tell_sample(told)
            if status != 0:
                raise _StageFailed
            return True
        return False

    def tell_sample(self, told: Path) -> None:
        """Say which of the exhaustive tests ran."""
        if told.exists():
            for family, names in json.loads(told.read_text(encoding="utf-8")).items():
                ids = ", ".join(n.removeprefix(family) for n in names)
                self.stages.say(f"sample of {family}: {ids}")


def _file(name: str) -> str:
    return name.replace(" ", "-")


class _StageFailed(Exception):  # noqa: N818
    """A stage did not end well; it is counted already."""


def test() -> int:
    """Run everything; return an exit status."""
    run = Run(ownlab.new_id(), commit())
    run.stages.say(f"commit {run.sample[:12]} chooses the samples; lab instance {run.identity}")
    try:
        ownlab.remove_abandoned(run.stages)
        _all(run)
    except (CommandFailed, Stopped) as error:
        run.stages.say(f"make test: {error}")
        if isinstance(error, Stopped):
            run.tally.step(f"run to the end ({error})", well=False)
    for failure in run.tally.failures:
        run.stages.say(f"FAILED {failure}")
    run.stages.say(run.stages.table())
    run.stages.say(run.tally.closing_line())
    return 0 if run.tally.failed == 0 and run.tally.passed > 0 else 1


def _all(run: Run) -> None:
    log = run.folder / "build.log"
    with log.open("wb") as out:
        build = build_command(KNOWLEDGE)
        building = start(build, cwd=CHECKOUT, stdout=out, stderr=subprocess.STDOUT)
        try:
            told = run.folder / "unit-sample.json"
            unit = unit_step(run.folder, *sample_options(run.sample, f"--sampled={told}"))
            run.steps("check", "lint, types, unit tests", [*lint_steps(), unit])
            run.tell_sample(told)
            with run.stages.stage("build", f"the rest of what the lab is made of; log {log}"):
                status = building.wait(_BUILD_TIMEOUT_S)
                run.stages.say(log.read_text(encoding="utf-8", errors="replace").rstrip())
                if status != 0:
                    run.tally.step("build", well=False)
                    raise CommandFailed(build, status)
        finally:
            end(building)
    # Real machines and servers, with times to keep: not beside a compiler.
    run.pytest("contract", "adapters against what they adapt", "tests/contract", "-v")
    go = [*go_steps("vet"), *go_steps("test", "-race", cgo=True)]
    run.steps("go", "vet and race detector", go)
    with ownlab.owned(run.identity):
        try:
            _on_a_lab(run)
        finally:
            take_down(run, run.identity)
    with_knowledge(run, ownlab.new_id())


def with_knowledge(run: Run, identity: str) -> None:
    """Bring a lab with a knowledge tier up, killed once, and run a sample of the tier's scenarios.

    ``identity``: of that lab. What did not come up well is no lab to test on.
    """
    with ownlab.owned(identity):
        try:
            # Not by PERMAFROST_LAB: who has that in its environment counts as at work on the lab.
            lent = {LENT_LAB: identity}
            if run.pytest("chaos", "make up, killed and run again", "tests/chaos", "-v", env=lent):
                about, env = "a sample, on the lab that is up", environment(identity)
                run.pytest("knowledge", about, "tests/knowledge", "-v", "-s", env=env)
            else:
                run.stages.say("the knowledge tier's scenarios: not run, their lab is not up")
        finally:
            take_down(run, identity)


def _on_a_lab(run: Run) -> None:
    deploy_raw(run)
    nothing = ["/bin/bash", "-c", _NOTHING_TO_DO]
    run.command("deploy", "changes nothing", nothing, _PART_TIMEOUT_S)
    run.pytest("acceptance", "commands and network only", "tests/acceptance", "-v", "--maxfail=8")


def deploy_raw(run: Run) -> None:
    """Bring the run's lab up and deploy its site by a raw ``pulumi up``."""
    up = [str(PROGRAMS / "permafrost-lab"), "up"]
    run.command("lab", "an instance of its own", up, _PART_TIMEOUT_S)
    raw = ["/bin/bash", "-c", _RAW_UP]
    run.command("pulumi up", "a raw one makes the whole site", raw, _PART_TIMEOUT_S)


def take_down(run: Run, identity: str) -> None:
    """Remove a lab of the run; keep and show what it wrote where something failed."""
    if run.tally.failed:
        logs = run.folder / f"lab-{identity}"
        ownlab.collect(identity, logs)
        run.stages.say(f"what the lab wrote is in {logs.relative_to(CHECKOUT)}; its end:")
        for line in ownlab.tails(logs):
            run.stages.say(line)
    with suppress(_StageFailed), run.stages.stage("down", "everything the lab made is removed"):
        well = ownlab.remove(identity)
        run.tally.step("down", well=well)
        if not well:
            raise _StageFailed


def reports_folder() -> Path:
    """Return where pytest's reports of a run without a lab go."""
    folder = CHECKOUT / ".cache" / "testrun" / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
