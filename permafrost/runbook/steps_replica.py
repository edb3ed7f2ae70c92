"""How each step of a drain and of an admission is done, and how it is known to be done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address

from permafrost.engine.executor import Evidence
from permafrost.engine.state import Declared, DeclaredState
from permafrost.engine.timestamps import rfc3339
from permafrost.errors import Failed, PermafrostError
from permafrost.facts import NodeFacts, ServerState, Traffic
from permafrost.planning.force import Force, force_of
from permafrost.planning.invariants import proof_problem
from permafrost.planning.lifecycle import is_automatic
from permafrost.planning.steps import OperationStep
from permafrost.runbook.context import Context
from permafrost.runbook.edges import set_on_edges
from permafrost.runbook.gate import await_answer, await_up, prove
from permafrost.runbook.idle import Idle, await_idle
from permafrost.runbook.looking import edges_just_seen, look_to_drain
from permafrost.runbook.turns import take_turn
from permafrost.topology import Node, Tier, nodes


@dataclass
class ReplicaAction:
    """What all these steps know. ``proven`` says that this operation has proven the node."""

    ctx: Context
    step: OperationStep
    proven: bool = False

    @property
    def node(self) -> Node:
        """The replica; one that has left the site file is taken from the step."""
        known = {n.name: n for n in nodes(self.ctx.site)}
        given = self.step.arguments
        return known.get(self.step.target) or Node(
            self.step.target, Tier.INFERENCE, IPv4Address(given["address"]), given["endpoint"]
        )

    @property
    def declared(self) -> Declared | None:
        """What is declared about it now."""
        return self.ctx.store.declared().get(self.step.target)

    @property
    def force(self) -> Force | None:
        """What the operator waived."""
        return force_of(self.step.arguments.get("force"))

    def said_by(self) -> tuple[str, str]:
        """Return owner and reason; what a person took away stays that person's."""
        owner, reason = self.step.arguments["owner"], self.step.arguments["reason"]
        declared = self.declared
        if declared is not None and declared.is_away and not declared.is_automatic:
            return declared.owner, declared.reason
        return owner, reason

    def already(self) -> Evidence | None:
        """Nothing is known to be done beforehand."""
        return None

    def do(self) -> None:
        """Make the effect: each kind of step has its own."""
        raise NotImplementedError

    def confirm(self) -> Evidence:
        """The effect itself has looked."""
        return {}


class DeclareDraining(ReplicaAction):
    """It is decided, durably, that the replica goes; refused below ``min_ready``."""

    waived: tuple[str, ...] = ()

    def already(self) -> Evidence | None:
        """Whether it is declared DRAINED by whom it is to be; while it drains, say until when."""
        declared = self.declared
        if declared is None or declared.state is not DeclaredState.DRAINED:
            return None
        owner = self.step.arguments["owner"]
        if declared.is_automatic and not is_automatic(owner):
            return None
        return {"declared": str(declared)}

    def do(self) -> None:
        """Take the turn, then say whose it is."""
        owner, reason = self.said_by()
        plan = take_turn(self.ctx, self.node, owner=owner, reason=reason, force=self.force)
        self.waived = plan.waived
        patience = timedelta(seconds=float(self.step.arguments["patience_s"]))
        self.ctx.store.declare(
            self.node.name,
            DeclaredState.DRAINING,
            owner=owner,
            reason=reason,
            deadline=rfc3339(self.ctx.clock.now() + patience),
        )

    def confirm(self) -> Evidence:
        """Return what is declared."""
        forced = {"force": self.force.value, "waived": list(self.waived)} if self.force else {}
        return {"declared": str(self.declared), **forced}


class SetEdgesToDrain(ReplicaAction):
    """No edge sends it new requests."""

    skipped: tuple[str, ...] = ()
    seen: Traffic = field(default_factory=Traffic)
    """What the edges see once they are told."""

    def already(self) -> Evidence | None:
        """Whether every edge answers and keeps it away, also over a restart.

        Where they did not a moment ago there is work to do, before which they are asked anew.
        """
        seen = edges_just_seen(self.ctx)
        if seen is not None and not seen.keeps_away(self.node.name):
            return None
        traffic = self.ctx.traffic.observe()
        places = traffic.of(self.node.name)
        if traffic.unreachable or not places or not traffic.keeps_away(self.node.name):
            return None
        return {"edges": sorted({s.edge for s in places})}

    def do(self) -> None:
        """Set it on every edge, unless too few would be left by now."""
        _, live = look_to_drain(self.ctx, self.node, force=self.force)
        self.skipped, self.seen = set_on_edges(
            self.ctx,
            self.node.name,
            ServerState.DRAIN,
            unseen=self.force is Force.UNSEEN,
            live=live,
        )

    def confirm(self) -> Evidence:
        """Return what was in flight when it was set, and which edges are off."""
        return {"off": list(self.skipped), "in_flight": self.seen.in_flight(self.node.name)}


class AwaitIdle(ReplicaAction):
    """Nothing is in flight, at the edges and at the model server."""

    found: Idle | None = None

    def do(self) -> None:
        """Wait; at the deadline end what is left, where that was asked for."""
        cut = "cut" in self.step.arguments
        self.found = await_idle(
            self.ctx,
            self.node,
            deadline_s=self.step.deadline_s,
            cut=cut,
            unseen=self.force is Force.UNSEEN,
        )

    def confirm(self) -> Evidence:
        """Return that nothing is in flight, and what was ended on the way."""
        return {"in_flight": 0, **(asdict(self.found) if self.found else {})}


class DeclareDrained(ReplicaAction):
    """It is away until it is brought back."""

    def already(self) -> Evidence | None:
        """Whether that is declared."""
        declared = self.declared
        if declared is None or declared.state is not DeclaredState.DRAINED:
            return None
        return {"declared": str(declared)}

    def do(self) -> None:
        """Declare it."""
        owner, reason = self.said_by()
        self.ctx.store.declare(self.node.name, DeclaredState.DRAINED, owner=owner, reason=reason)

    def confirm(self) -> Evidence:
        """Return what is declared."""
        return {"declared": str(self.declared)}


class AwaitAnswer(ReplicaAction):
    """The node has started: after a boot it verifies its bytes by itself."""

    said: NodeFacts | None = None

    def do(self) -> None:
        """Wait."""
        self.said = await_answer(self.ctx, self.node)

    def confirm(self) -> Evidence:
        """Return what the node said of itself."""
        facts = self.said or self.ctx.models.state(self.node.name)
        return {"state": facts.state, "checkpoint": facts.checkpoint}


class Prove(ReplicaAction):
    """Bytes and behaviour are those of the pinned checkpoint."""

    def already(self) -> Evidence | None:
        """Whether this operation has proven it and it has not restarted since."""
        if not self.proven or self._problem() is not None:
            return None
        return {"checkpoint": self.step.arguments["checkpoint"], "proven": "before"}

    def do(self) -> None:
        """Probe it, quietly: no edge sends it requests."""
        prove(self.ctx, self.node, self.step.arguments["checkpoint"])

    def confirm(self) -> Evidence:
        """Return the digest that was proven."""
        return {"checkpoint": self.step.arguments["checkpoint"]}

    def _problem(self) -> object:
        try:
            facts = self.ctx.models.state(self.node.name)
        except PermafrostError as error:
            return error
        return proof_problem(self.node.name, facts, self.step.arguments["checkpoint"])


class SetEdgesToReady(ReplicaAction):
    """Every edge may send it requests."""

    skipped: tuple[str, ...] = ()

    def do(self) -> None:
        """Set it on every edge, unless it is not proven any more."""
        # Side by side: neither answer is older than if one had waited for the other.
        with ThreadPoolExecutor(max_workers=1) as pool:
            traffic = pool.submit(self.ctx.traffic.observe)
            facts = self.ctx.models.state(self.node.name)
            problem = proof_problem(self.node.name, facts, self.step.arguments["checkpoint"])
            if problem is not None:
                raise Failed(problem)
            seen = traffic.result()
        self.skipped, _ = set_on_edges(self.ctx, self.node.name, ServerState.READY, traffic=seen)

    def confirm(self) -> Evidence:
        """Return which edges are off."""
        return {"off": list(self.skipped)}


class AwaitUp(ReplicaAction):
    """Every edge sees it up."""

    def do(self) -> None:
        """Wait."""
        await_up(self.ctx, self.node)


class DeclareAdmitted(ReplicaAction):
    """It serves, by our will."""

    def already(self) -> Evidence | None:
        """Whether that is declared."""
        declared = self.declared
        if declared is None or declared.state is not DeclaredState.ADMITTED:
            return None
        return {"declared": str(declared)}

    def do(self) -> None:
        """Declare it."""
        owner = self.step.arguments["owner"]
        self.ctx.store.declare(self.node.name, DeclaredState.ADMITTED, owner=owner)

    def confirm(self) -> Evidence:
        """Return what is declared."""
        return {"declared": str(self.declared)}
