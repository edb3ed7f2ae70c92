"""The steps of ``make check``: each a command, run two at a time, told when it is done."""

from __future__ import annotations

import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lab.build import parts
from lab.build.golang import build_env, go_command
from lab.front.instance import CHECKOUT, PROGRAMS
from lab.front.processes import call
from lab.front.stages import Stages, duration
from lab.testrun.tally import Tally

GO_MODULES = ("engines/pulumi", "lab/vcenter")
_STEP_TIMEOUT_S = 900.0
# The longest first: no core waits at the end for one that the other has just begun.
UNIT_TESTS = ("tests/properties", "tests/unit", "tests/infra", "tests/golden")


@dataclass(frozen=True)
class Step:
    """One command, where it runs, and pytest's report when it is a pytest run."""

    name: str
    argv: tuple[str, ...]
    cwd: Path = CHECKOUT
    env: dict[str, str] = field(default_factory=dict)
    report: Path | None = None


def _tool(name: str) -> str:
    return str(PROGRAMS / name)


def _yaml_roots() -> list[str]:
    """Return what yamllint looks at: walking the environments would take longer than linting."""
    return sorted(
        path.name
        for path in CHECKOUT.iterdir()
        if (path.is_dir() and not path.name.startswith(".")) or path.suffix in (".yaml", ".yml")
    )


def lint_steps() -> list[Step]:
    """Return the linters and the type checker."""
    return [
        Step("mypy", (_tool("mypy"),)),
        Step("ruff", (_tool("ruff"), "check", ".")),
        Step("ruff format", (_tool("ruff"), "format", "--check", ".")),
        Step("import contracts", (_tool("lint-imports"),)),
        Step("yamllint", (_tool("yamllint"), "--strict", *_yaml_roots())),
        Step("ansible-lint", (_tool("ansible-lint"), "--offline", "--nocolor", "playbooks")),
    ]


def pytest_step(name: str, paths: tuple[str, ...], reports: Path, *options: str) -> Step:
    """Return a pytest run over the paths that exist."""
    found = [path for path in paths if _has_tests(CHECKOUT / path)]
    report = reports / f"{name.replace(' ', '-')}.xml"
    argv = (_tool("python"), "-m", "pytest", "-q", "-p", "lab.testrun.plugin")
    return Step(name, (*argv, f"--junit-xml={report}", *options, *found), report=report)


def _has_tests(path: Path) -> bool:
    return path.is_file() or any(path.rglob("test_*.py"))


def examples_option(commit: str) -> str:
    """Return what makes generated examples those of a commit, so that a failure is seen again."""
    return f"--hypothesis-seed={int.from_bytes(commit.encode()[:12], 'big')}"


def sample_options(commit: str, *more: str) -> tuple[str, ...]:
    """Return what makes a run choose by the commit: exhaustive tests, and generated examples."""
    return (f"--sample={commit}", examples_option(commit), *more)


def unit_step(reports: Path, *options: str, marks: str = "not soak") -> Step:
    """Return the hermetic tests: no socket but UNIX ones, on both cores. ``marks``: which."""
    sockets = ("--disable-socket", "--allow-unix-socket")
    return pytest_step(
        "unit tests", UNIT_TESTS, reports, "-n", "2", "-m", marks, *sockets, *options
    )


def check_steps(reports: Path, commit: str) -> list[Step]:
    """Return what is looked at before each commit: all but what takes a lab, or long."""
    quick = unit_step(reports, *sample_options(commit), marks="not soak and not thorough")
    return [quick, *lint_steps(), *go_steps("vet")]


def go_steps(verb: str, *flags: str, cgo: bool = False) -> list[Step]:
    """Return ``go VERB`` for every Go module of the project."""
    go = go_command(parts.path("go"))
    env = {**build_env(), "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false"}
    env["CGO_ENABLED"] = "1" if cgo else "0"
    name = " ".join(("go", verb, *flags))
    return [
        Step(f"{name} ({module})", (go, verb, *flags, "./..."), CHECKOUT / module, env)
        for module in GO_MODULES
        if (CHECKOUT / module / "go.mod").exists()
    ]


def run_steps(steps: list[Step], stages: Stages, tally: Tally, *, at_once: int = 2) -> bool:
    """Run steps, count them, and show the whole output of those that failed."""
    with ThreadPoolExecutor(at_once) as pool:
        return all(list(pool.map(lambda step: _run(step, stages, tally), steps)))


def _run(step: Step, stages: Stages, tally: Tally) -> bool:
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        status = call(
            step.argv,
            cwd=step.cwd,
            env=step.env,
            timeout_s=_STEP_TIMEOUT_S,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        output.seek(0)
        text = output.read().decode(errors="replace").rstrip()
    took = duration(time.monotonic() - begun)
    if step.report is not None:
        tally.pytest(step.name, step.report, status)
    else:
        tally.step(step.name, well=status == 0)
    closing = text.splitlines()[-1] if step.report is not None and text else ""
    stages.say(f"  {'ok    ' if status == 0 else 'FAILED'} {step.name:<32} {took:>9}  {closing}")
    if status != 0:
        stages.say(text)
    return status == 0
