"""The model server port: ``permafrost-node`` on each inference VM, over SSH."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from permafrost.adapters.ssh import Shell
from permafrost.errors import Failed, Problem, Refused
from permafrost.ports import NodeFacts, ProbeAnswers, ProbeResult

COMMAND = ("sudo", "-n", "/usr/bin/permafrost-node")
STATE_S = 15
PROBE_S = 180
RECORD_S = 1200
REFUSALS = ("PROBE_NOT_QUIET", "PROBE_SET_INVALID")


class NodeAgent:
    """Asks the service on the node; never the model server behind its back."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def state(self, node: str) -> NodeFacts:
        """Return the node's own view."""
        _, values = self._ask(node, "state", STATE_S)
        return NodeFacts(
            node=node,
            state=str(values["state"]),
            checkpoint=str(values.get("checkpoint") or ""),
            slot=str(values.get("slot") or ""),
            pending=int(values.get("pending") or 0),
            executing=int(values.get("executing") or 0),
            reason=str(values.get("reason") or ""),
        )

    def probe(self, node: str) -> ProbeResult:
        """Verify bytes and behaviour; a pass admits the node."""
        status, values = self._ask(node, "probe", PROBE_S)
        return ProbeResult(
            node=node,
            passed=status == 0 and str(values.get("state")) == "ADMITTED",
            checkpoint=str(values.get("checkpoint") or ""),
            detail=str(values.get("reason") or ""),
        )

    def serving_class(self, node: str) -> Mapping[str, object]:
        """Return what decides the node's tokens beside the checkpoint's bytes."""
        _, values = self._ask(node, "state", STATE_S)
        told: Mapping[str, object] = values.get("serving_class") or {}
        return told

    def answer(
        self, node: str, probes: Sequence[Mapping[str, object]], top_k: int
    ) -> ProbeAnswers:
        """Answer a probe set; Refused (PROBE_NOT_QUIET) when somebody else is served."""
        asked = json.dumps({"top_k": top_k, "probes": [dict(p) for p in probes]})
        _, values = self._ask(node, "record", RECORD_S, stdin=asked)
        if error := values.get("error"):
            problem = Problem(error["code"], error["message"], node, error.get("hint", ""))
            raise (Refused if error["code"] in REFUSALS else Failed)(problem)
        return ProbeAnswers(
            node, str(values["checkpoint"]), values["serving_class"], values["probes"]
        )

    def follow(self, node: str) -> None:
        """Let the node fetch the fingerprint that it has to meet."""
        done = self._shell.run(node, (*COMMAND, "follow"), deadline_s=STATE_S)
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
        self, node: str, verb: str, deadline_s: float, stdin: str = ""
    ) -> tuple[int, dict[str, Any]]:
        argv = (*COMMAND, verb, "--json")
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
