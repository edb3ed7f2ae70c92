"""The model server port: ``permafrost-node`` on each inference VM, over SSH."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from permafrost.adapters.ssh import Shell
from permafrost.errors import Failed, Problem, Refused
from permafrost.facts import NodeFacts, ProbeAnswers, ProbeResult, SlotFacts

COMMAND = ("sudo", "-n", "/usr/bin/permafrost-node")
STATE_S = 15
PROBE_S = 180
LOAD_S = 1200
UNLOAD_S = 180
RECORD_S = 1200
REFUSALS = ("PROBE_NOT_QUIET", "PROBE_SET_INVALID")


class NodeAgent:
    """Asks the service on the node; never the model server behind its back."""

    def __init__(self, shell: Shell, live_slot: Callable[[str], str] | None = None) -> None:
        self._shell = shell
        self._live_slot = live_slot or (lambda _node: "a")

    def state(self, node: str) -> NodeFacts:
        """Return the node's own view."""
        _, values = self._ask(node, "state", STATE_S)
        told: Mapping[str, Any] = values.get("slots") or {}
        live = self._live_slot(node)
        if told:
            nothing = {"state": "OUT", "reason": f"slot {live} is to load nothing", "slot": live}
            values = told.get(live, nothing)
        return NodeFacts(
            slots={slot: _slot(slot, about) for slot, about in told.items()},
            node=node,
            state=str(values["state"]),
            checkpoint=str(values.get("checkpoint") or ""),
            slot=str(values.get("slot") or ""),
            pending=int(values.get("pending") or 0),
            executing=int(values.get("executing") or 0),
            reason=str(values.get("reason") or ""),
        )

    def probe(self, node: str, slot: str = "") -> ProbeResult:
        """Verify bytes and behaviour; a pass admits the node."""
        of_slot = ("--slot", slot or self._live_slot(node), *(("--all",) if slot else ()))
        status, values = self._ask(node, "probe", PROBE_S, *of_slot)
        return ProbeResult(
            node=node,
            passed=status == 0 and str(values.get("state")) == "ADMITTED",
            checkpoint=str(values.get("checkpoint") or ""),
            detail=str(values.get("reason") or ""),
        )

    def load(self, node: str, slot: str, checkpoint: str) -> None:
        """Have a slot load a checkpoint."""
        self._do(node, LOAD_S, "load", slot, checkpoint)

    def fetch(self, node: str, checkpoint: str) -> None:
        """Have a node fetch a checkpoint's bytes."""
        self._do(node, LOAD_S, "pull", checkpoint)

    def exchange(self, node: str, slot: str, checkpoint: str) -> None:
        """Have a slot load a checkpoint instead of the other slot."""
        self._do(node, LOAD_S, "exchange", slot, checkpoint)

    def unload(self, node: str, slot: str) -> None:
        """Have a slot load nothing."""
        self._do(node, UNLOAD_S, "unload", slot)

    def _do(self, node: str, deadline_s: float, *words: str) -> None:
        done = self._shell.run(node, (*COMMAND, *words), deadline_s=deadline_s)
        if done.status == 0:
            return
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        code, _, said = last.partition(": ")
        is_code = code.isupper() and code.replace("_", "").isalnum()
        raise Failed(
            Problem(
                code if is_code else "SLOT_COMMAND_FAILED",
                f"permafrost-node {' '.join(words)} ended with {done.status}: "
                f"{(said if is_code else last)[-300:]}",
                node,
                "nobody is sent there; mend it and `permafrost resume`, or `permafrost abort`",
            )
        )

    def serving_class(self, node: str) -> Mapping[str, object]:
        """Return what decides the node's tokens beside the checkpoint's bytes."""
        _, values = self._ask(node, "state", STATE_S)
        values = (values.get("slots") or {}).get(self._live_slot(node), values)
        told: Mapping[str, object] = values.get("serving_class") or {}
        return told

    def answer(
        self, node: str, probes: Sequence[Mapping[str, object]], top_k: int
    ) -> ProbeAnswers:
        """Answer a probe set; Refused (PROBE_NOT_QUIET) when somebody else is served."""
        asked = json.dumps({"top_k": top_k, "probes": [dict(p) for p in probes]})
        of_slot = ("--slot", self._live_slot(node))
        _, values = self._ask(node, "record", RECORD_S, *of_slot, stdin=asked)
        if error := values.get("error"):
            hint = error.get("hint") or "`journalctl -u permafrost-node` on the node says more"
            problem = Problem(error["code"], error["message"], node, hint)
            raise (Refused if error["code"] in REFUSALS else Failed)(problem)
        return ProbeAnswers(
            node, str(values["checkpoint"]), values["serving_class"], values["probes"]
        )

    def follow(self, node: str) -> None:
        """Let the node fetch the fingerprint that it has to meet."""
        words = (*COMMAND, "follow", "--slot", self._live_slot(node))
        done = self._shell.run(node, words, deadline_s=STATE_S)
        if done.status != 0:
            said = (done.stderr.strip() or "nothing")[-300:]
            raise Failed(
                Problem(
                    "FINGERPRINT_NOT_FOLLOWED",
                    f"permafrost-node follow ended with {done.status}: {said}",
                    node,
                    "`permafrost converge` fetches it too",
                )
            )

    def _ask(
        self, node: str, verb: str, deadline_s: float, *more: str, stdin: str = ""
    ) -> tuple[int, dict[str, Any]]:
        argv = (*COMMAND, verb, "--json", *more)
        done = self._shell.run(node, argv, stdin=stdin, deadline_s=deadline_s)
        try:
            values = json.loads(done.stdout)
            if not isinstance(values, dict) or "state" not in values:
                raise ValueError("no state in the answer")
        except ValueError:
            said = (done.stderr.strip() or done.stdout.strip() or "nothing")[-300:]
            raise Failed(
                Problem(
                    "NODE_AGENT_UNREADABLE",
                    f"permafrost-node {verb} ended with {done.status} and said: {said}",
                    path=node,
                    hint="`journalctl -u permafrost-node` on the node says more",
                )
            ) from None
        return done.status, values


def _slot(slot: str, about: Mapping[str, Any]) -> SlotFacts:
    return SlotFacts(
        slot,
        str(about["state"]),
        str(about.get("pinned") or ""),
        str(about.get("checkpoint") or ""),
        int(about.get("pending") or 0) + int(about.get("executing") or 0),
        str(about.get("reason") or ""),
    )
