"""Ask a plugin what the real one was asked, and compare.

python -m tests.contract.provider.replay [--vcenter PROGRAM] [--only REGEX] [--show N]
"""

from __future__ import annotations

import argparse
import concurrent.futures
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lab.provider.errors import ProviderError
from lab.provider.lifecycle import words
from lab.provider.vsphere import vmodl
from tests.contract.provider.administrator import PASSWORD, USER
from tests.contract.provider.binding import Binding, Difference, resolve
from tests.contract.provider.cases import REFUSED, Case, load
from tests.contract.provider.engine import Plugin
from tests.contract.provider.exceptions import Expected, expected
from tests.contract.provider.vcenter import VCenter

PLUGIN = [sys.executable, "-m", "lab.provider"]
REQUEST = (
    "type", "token", "resource", "news", "olds", "oldInputs", "id", "properties", "inputs",
    "preview", "ignoreChanges", "action", "args", "requests",
)  # fmt: skip
MACHINE = ":VirtualMachine"
ENVIRONMENT = (
    r"\.(disks|networkInterfaces|cdroms)\[\d+\]\.key$",
    r"\.networkInterfaces\[\d+\]\.deviceAddress$",
)
"""Values that are the vCenter's own choice: the recorded template had other devices."""
OUT_OF_BAND_S = 0.5
"""How long a guest's address takes to show after a change by hand."""
HOOK_S = 0.3
"""How long the note of a power event may come after the call's answer."""


class Bench:
    """A vCenter and a plugin, started again after a case that left something behind."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._stack = ExitStack()
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start both, and learn what the environment's placeholders stand for."""
        self._stack.close()
        self.vcenter = self._stack.enter_context(VCenter(self._program))
        self.server = f"127.0.0.1:{self.vcenter.port}"
        self.plugin = self._stack.enter_context(Plugin(PLUGIN))
        config = {
            "user": USER,
            "password": PASSWORD,
            "vsphereServer": self.server,
            "allowUnverifiedSsl": True,
        }
        _, error = self.plugin.ask("Configure", {"news": config})
        if error:
            raise RuntimeError(error["message"])
        self.environment = dict(self._environment())

    def _environment(self) -> Iterator[tuple[str, str]]:
        center = self._look_up("getDatacenter", name="DC0")["id"]
        yield "<moid:datacenter:0>", center

        def below(function: str, name: str) -> dict[str, Any]:
            return self._look_up(function, name=name, datacenterId=center)

        cluster = below("getComputeCluster", "DC0_C0")
        yield "<moid:cluster:0>", cluster["id"]
        yield "<moid:pool:0>", cluster["resourcePoolId"]
        yield "<moid:datastore:0>", below("getDatastore", "LocalDS_0")["id"]
        yield "<moid:network:0>", below("getNetwork", "DC0_DVPG0")["id"]
        yield "<moid:network:vm>", below("getNetwork", "VM Network")["id"]
        yield "<uuid:template>", below("getVirtualMachine", "template-linux")["id"]
        for i in range(4):
            yield f"<moid:host:{i}>", below("getHost", f"DC0_C0_H{i}")["id"]

    def _look_up(self, function: str, **args: Any) -> dict[str, Any]:
        token = f"vsphere:index/{function}:{function}"
        answer, error = self.plugin.ask("Invoke", {"token": token, "news": args})
        if answer is None:
            raise RuntimeError(f"{function}: {error}")
        found: dict[str, Any] = answer["return"]
        return found

    def replay(self, case: Case) -> list[Difference]:
        """Return what is not as recorded; leaves a clean inventory."""
        found = list(_Replay(self, case).run())
        if not self.vcenter.alive:
            found.append(Difference("vCenter", "it died in this case"))
            self.start()
        try:
            self.vcenter.admin.clean()
        except (ProviderError, vmodl.MethodFault):
            self.start()
        return found


class _Replay:
    def __init__(self, bench: Bench, case: Case) -> None:
        self.bench, self.case = bench, case
        self.binding = Binding(
            {**bench.environment, "<server>": bench.server}, ignored=ENVIRONMENT
        )
        self.answers: list[dict[str, Any]] = []

    def run(self) -> list[Difference]:
        for step in self.case.steps:
            self._step(step)
        return self.binding.found

    def _step(self, step: dict[str, Any]) -> None:
        where = f"step {step['step']} {step['method']}"
        before = len(self.bench.vcenter.power_events())
        question = {k: step[k] for k in REQUEST if k in step}
        question = resolve(self.binding.fill(question), self.answers)
        if step.get("recordOnly") and self.case.id in REFUSED:
            self.bench.vcenter.refuse(REFUSED[self.case.id], "refused by the recorder")
        if step["method"] == "ParallelCreate":
            got, error = self._parallel(question["requests"]), None
        else:
            got, error = self._ask(step["method"], question)
        kept = got
        if isinstance(got, dict) and "responseKept" in step:
            kept = {k: got[k] for k in step["responseKept"] if k in got}
        if step.get("stateFromError") and error and "initFailed" in error:
            got = {k: error["initFailed"][k] for k in ("id", "properties")}
        self.answers.append({"request": question, "response": got, "error": error})
        self.binding.compare(step["response"], kept, f"{where} response")
        if step["method"] != "ParallelCreate":
            self.binding.compare(step["error"], error, f"{where} error")
        if step["method"] in ("Create", "Update", "Delete") and step["type"].endswith(MACHINE):
            self._compare_power(step, before, where)

    def _ask(self, method: str, question: dict[str, Any]) -> tuple[Any, dict[str, Any] | None]:
        if method == "OutOfBand":
            try:
                done = self.bench.vcenter.admin.do(question["action"], question["args"])
            except (ProviderError, vmodl.MethodFault) as e:
                return None, {"message": words(e)}
            time.sleep(OUT_OF_BAND_S if question["action"] != "state" else 0)
            return done, None
        if method != "Configure":
            return self.bench.plugin.ask(method, question)
        with Plugin(PLUGIN) as other:  # a plugin is configured once
            return other.ask(method, question)

    def _parallel(self, requests: list[dict[str, Any]]) -> list[dict[str, Any] | None]:
        with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
            answers = list(pool.map(lambda q: self.bench.plugin.ask("Create", q), requests))
        return [{"id": got["id"]} if got else None for got, _ in answers]

    def _compare_power(self, step: dict[str, Any], before: int, where: str) -> None:
        want = [verb for verb, _ in step["power"]]
        deadline = time.monotonic() + HOOK_S
        while time.monotonic() < deadline:
            if len(self.bench.vcenter.power_events()) - before >= len(want):
                break
            time.sleep(0.02)
        got = self.bench.vcenter.power_events()[before:]
        if step["method"] == "Delete":  # the notes of off and destroy race
            want, got = sorted(want), sorted(got)
        self.binding.compare(want, got, f"{where} power")


def unexpected(case: Case, found: list[Difference]) -> tuple[list[Difference], list[Expected]]:
    """Return the differences that no exception explains, and the exceptions not needed."""
    allowed = expected(case)
    used = {e for e in allowed for d in found if e.covers(d)}
    left = [d for d in found if not any(e.covers(d) for e in allowed)]
    return left, [e for e in allowed if e.needed and e not in used]


def main() -> int:
    """Replay the cases that are asked for, and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vcenter", type=Path, required=True, help="the lab vCenter's program")
    parser.add_argument("--only", default="", help="regular expression on SUITE/CASE")
    parser.add_argument("--show", type=int, default=10, help="differences shown a case")
    parser.add_argument("--raw", action="store_true", help="show expected differences too")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    with Bench(options.vcenter) as bench:
        for case in load():
            if not re.search(options.only, case.id):
                continue
            began = time.monotonic()
            found = bench.replay(case)
            left, unneeded = unexpected(case, found)
            shown = found if options.raw else left
            verdict = "DIFFERS" if left else "stale" if unneeded else "same"
            counts[verdict] += 1
            print(f"{verdict:8} {case.id} {time.monotonic() - began:.1f}s", flush=True)
            for difference in shown[: options.show]:
                print(f"    {difference}")
            if len(shown) > options.show:
                print(f"    and {len(shown) - options.show} more")
            for exception in unneeded:
                print(f"    exception not needed: {exception.reason}")
    print(dict(counts))
    return 1 if counts["DIFFERS"] else 0


if __name__ == "__main__":
    sys.exit(main())
