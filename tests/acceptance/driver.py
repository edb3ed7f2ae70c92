"""What the acceptance tests drive: commands, the network, and vCenter read with pyvmomi.

Nothing here imports the product: a test that used the product's code to judge the product
would share its mistakes.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import testinfra
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim

ROOT = Path(__file__).resolve().parents[2]


def wait_until(
    what: str, seen: Callable[[], Any], deadline_s: float, every_s: float = 0.25
) -> Any:
    """Return the first true value of ``seen``; fail with what was awaited at the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        value = seen()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what} (last seen: {value!r})")
        time.sleep(every_s)


@dataclass(frozen=True)
class Cli:
    """A command of the product, as a person would call it."""

    program: Path
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def run(
        self, *args: str, expect: int | None = 0, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run the command; fail with all that it said when its exit status is another."""
        done = subprocess.run(
            [str(self.program), *args],
            env=self.env,
            cwd=ROOT,
            text=True,
            capture_output=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if expect is not None and done.returncode != expect:
            raise AssertionError(
                f"{self.program.name} {' '.join(args)}: exit {done.returncode}, not {expect}\n"
                f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            )
        return done

    @contextmanager
    def begun(self, *args: str) -> Iterator[subprocess.Popen[str]]:
        """Start the command and go on; it is ended with the block whatever happens in it."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [str(self.program), *args], env=self.env, cwd=ROOT, text=True,
            stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(30)

    def json(self, *args: str, timeout: float = 300) -> Any:
        """Run with ``--output json`` and return the document."""
        return json.loads(self.run(*args, "--output", "json", timeout=timeout).stdout)


def healthy(permafrost: Cli, within_s: float) -> Any:
    """Return ``status`` once all is well. Members may be dealing leaders anew just then (ADR 27):
    for seconds not all is settled."""

    def found() -> Any:
        status = permafrost.json("status")
        return status if status["healthy"] else None

    return wait_until("all is well", found, within_s, 2)


def machine(lab: Cli, state: Path, name: str) -> Any:
    """Return a machine's inside, with testinfra over SSH as root; ``state``: the site's folder."""
    machines = lab.json("status")["machines"]
    address = next(m["address"] for m in machines if m["name"] == name)
    return testinfra.get_host(
        f"ssh://permafrost@{address}?sudo=true",
        ssh_identity_file=str(state / "ssh/id_ed25519"),
        ssh_extra_args=f"-o UserKnownHostsFile={state}/ssh/known_hosts -o HostKeyAlias={name}"
        " -o StrictHostKeyChecking=yes",
    )


@dataclass
class Traffic:
    """A load under way; ``finish`` waits for its end and returns the checker's summary."""

    lab: Cli
    process: subprocess.Popen[bytes]
    file: Path
    marks: list[float] = field(default_factory=list)

    def mark(self) -> None:
        """Remember this moment: the summary says how many requests were in flight then."""
        self.marks.append(time.time())

    def await_steady(self, deadline_s: float = 60) -> None:
        """Wait until the first answers are whole: from then on as many end as begin."""
        wait_until(
            "the first answers are whole",
            lambda: self.process.poll() is None and self.records(),
            deadline_s,
        )

    def end(self) -> None:
        """Send nothing new any more: the load lasts as long as what it is to cover."""
        assert self.process.poll() is None, "the load was too short for what it had to cover"
        self.process.send_signal(signal.SIGUSR1)

    def finish(self, timeout: float = 300) -> dict[str, Any]:
        """Wait for the load's end and return its summary."""
        assert self.process.wait(timeout) == 0, "the load itself failed"
        at = [a for m in self.marks for a in ("--at", _rfc3339(m))]
        return self.lab.json("check", str(self.file), *at)

    def records(self) -> list[dict[str, Any]]:
        """Return the lines written so far."""
        lines = self.file.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


def losses(summary: dict[str, Any]) -> tuple[int, int, int]:
    """Return failed, cut, wrong, out of a checker's summary."""
    outcomes = summary["outcomes"]
    return outcomes["failed"], outcomes["cut"], outcomes["wrong"]


def _rfc3339(moment: float) -> str:
    return (
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1e6):06}Z"
    )


@contextmanager
def traffic(
    lab: Cli, endpoint: str, rate: float, seconds: float, share: float, file: Path, *more: str
) -> Iterator[Traffic]:
    """Start a load in the background; it is ended with the block whatever happens in it."""
    args = [str(lab.program), "traffic", "--endpoint", endpoint, "--rate", str(rate)]
    args += ["--for", str(seconds), "--stream-share", str(share), "--out", str(file), *more]
    log = file.with_suffix(".log").open("wb")
    process = subprocess.Popen(args, env=lab.env, cwd=ROOT, stdout=log, stderr=log)
    try:
        wait_until(f"load on {endpoint} has begun", file.exists, 120)
        yield Traffic(lab, process, file)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        log.close()


@dataclass(frozen=True)
class VCenter:
    """The lab's vCenter, seen with pyvmomi alone."""

    content: Any

    def all(self, kind: Any) -> list[Any]:
        """Return every object of a managed type."""
        view = self.content.viewManager.CreateContainerView(self.content.rootFolder, [kind], True)
        try:
            return list(view.view)
        finally:
            view.Destroy()

    def vm(self, name: str) -> Any:
        """Return a VM by name."""
        return next(v for v in self.all(vim.VirtualMachine) if v.name == name)

    def await_task(self, task: Any, deadline_s: float = 180) -> Any:
        """Wait for a task; fail with the fault's text."""
        wait_until(
            f"task {task.info.descriptionId}",
            lambda: task.info.state in ("success", "error"),
            deadline_s,
        )
        assert task.info.state == "success", str(task.info.error)
        return task.info.result

    def power_cycle(self, name: str) -> None:
        """Shut the guest down, wait until the VM is off, and power it on again."""
        vm = self.vm(name)
        vm.ShutdownGuest()
        wait_until(f"{name} is off", lambda: vm.runtime.powerState == "poweredOff", 120)
        self.await_task(vm.PowerOnVM_Task())


@contextmanager
def vcenter(status: dict[str, Any]) -> Iterator[VCenter]:
    """Log in to the vCenter of ``permafrost-lab status``."""
    url = urlsplit(status["vcenter"]["url"])
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    service = SmartConnect(
        host=url.hostname,
        port=url.port or 443,
        user=status["vcenter"]["user"],
        pwd=Path(status["vcenter"]["password_file"]).read_text(encoding="utf-8").strip(),
        sslContext=context,
    )
    try:
        yield VCenter(service.RetrieveContent())
    finally:
        Disconnect(service)
