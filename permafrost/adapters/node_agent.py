"""The model server port: ``permafrost-node`` on each inference VM, over SSH."""

from __future__ import annotations

import json
from typing import Any

from permafrost.adapters.ssh import Shell
from permafrost.errors import Failed, Problem
from permafrost.ports import NodeFacts, ProbeResult

COMMAND = ("sudo", "-n", "/usr/bin/permafrost-node")
STATE_S = 15
PROBE_S = 180


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

    def _ask(self, node: str, verb: str, deadline_s: float) -> tuple[int, dict[str, Any]]:
        done = self._shell.run(node, (*COMMAND, verb, "--json"), deadline_s=deadline_s)
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
