"""A replica is drained while clients hold gRPC streams open there: real HAProxies, a real Triton.

The drain is the product's own, with its adapters and the node's own service; vCenter alone is not
there. Two streams only wait, a third one waits for a long answer of which no byte comes before its
end, so that the edges' data alone cannot tell them apart.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc

from permafrost.adapters.haproxy import HaproxyRuntime
from permafrost.adapters.node_agent import NodeAgent
from permafrost.adapters.ssh import CommandResult
from permafrost.engine.waiting import SystemClock
from permafrost.errors import Failed
from permafrost.facts import NodeFacts, ServerState
from permafrost.node.service import NodeService
from permafrost.runbook.context import Context
from permafrost.runbook.drain import drain_replica, preview_drain
from tests.acceptance.conversing import SHORT, Conversation, question, until
from tests.contract.edge.front import NODES, OWN, PORT, Front
from tests.contract.edge.planted import HEALTH, prepared, watched
from tests.contract.fingerprint.server import served
from tests.contract.ports.haproxy import LocalShell
from tests.fakes.site import context
from tests.fakes.world import World
from tests.golden.ansible.rendering import golden_site

ONE, *OTHERS = sorted(NODES)
IDLE_S = 3
LONG = {"max_tokens": 1200, "temperature": 0, "ignore_eos": True}
"""Takes many seconds, in which not a byte moves: the answer comes as a whole."""
HTTP, GRPC = 8000, 8001
ME = "operator:me"


@dataclass
class _Node:
    """The shell that reaches the node: its service is in this process."""

    service: NodeService

    def run(
        self, node: str, argv: Sequence[str], *, stdin: str = "", deadline_s: float = 30
    ) -> CommandResult:
        return CommandResult(0, json.dumps(self.service.state()), "")


class _Blind(NodeAgent):
    """A node that does not say what is pending: the edges' data has to do."""

    def state(self, node: str) -> NodeFacts:
        return replace(super().state(node), pending=0, executing=0)


@dataclass
class Held:
    """The site, and the streams at the replica that is drained."""

    ctx: Context
    service: NodeService
    idle: list[Conversation]
    busy: Conversation

    def work(self) -> int:
        """Return what the model server works on."""
        told = self.service.state()
        return int(told["pending"]) + int(told["executing"])

    def drain(self, deadline_s: float, *, cut: bool = False) -> dict[str, Any]:
        """Drain once the others serve; return what was seen, or how it failed."""
        until(lambda: all(self.ctx.traffic.observe().serves(n) for n in OTHERS), 60)
        try:
            seen = drain_replica(self.ctx, ONE, owner=ME, deadline_s=deadline_s, cut=cut)
        except Failed as error:
            problem = error.problems[0]
            return {"code": problem.code, "message": problem.message}
        return seen.as_dict()

    def told(self, **more: object) -> dict[str, Any]:
        """Return what became of the streams."""
        return {
            "idle": [stream.ended for stream in self.idle],
            "busy": self.busy.ended,
            "answers": len(self.busy.answers),
            **more,
        }


@contextmanager
def holding(folder: Path, *, blind: bool = False) -> Iterator[Held]:
    """Run it all, with two idle streams at one replica and a third one that was asked once."""
    tree, pinned, known = prepared(folder)
    with (
        served(tree, folder / "server", pinned, http=HTTP, grpc=GRPC) as running,
        watched(running, folder, pinned, known, HEALTH) as service,
        Front(folder / "front", behind=(8010,)) as front,
    ):
        ctx = _context(folder, front, service, blind=blind)
        credentials = grpc.ssl_channel_credentials((folder / "front/pki/ca.pem").read_bytes())
        with grpc.secure_channel(f"{OWN}:{PORT}", credentials) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            for other in OTHERS:
                ctx.traffic.set_state(other, ServerState.DRAIN)
            streams = [Conversation(stub) for _ in range(3)]
            for stream in streams:
                stream.converse(question(SHORT))
                assert stream.replica == ONE
            for other in OTHERS:
                ctx.traffic.set_state(other, ServerState.READY)
            until(lambda: all(ctx.traffic.observe().serves(n) for n in NODES), 30)
            yield Held(ctx, service, streams[:2], streams[2])
            for stream in streams:
                stream.close()


def _context(folder: Path, front: Front, service: NodeService, *, blind: bool) -> Context:
    site = golden_site("oslo")
    chat = site.inference["chat"].model_copy(update={"drain_idle_stream_s": IDLE_S})
    site = site.model_copy(update={"inference": {**site.inference, "chat": chat}})
    ctx = context(folder / "state", World.of(site))
    ctx.clock = SystemClock()
    ctx.traffic = HaproxyRuntime(
        ["oslo-edge-01"], LocalShell(front.folder, runtime="runtime.sock")
    )
    ctx.models = (_Blind if blind else NodeAgent)(_Node(service))
    return ctx


def answered(folder: Path, *, blind: bool) -> dict[str, Any]:
    """Drain while the third one waits for its answer; its client ends it with that."""
    with holding(folder, blind=blind) as held:
        shown, _ = preview_drain(held.ctx, ONE, owner=ME)
        held.busy.ask(question(LONG))
        until(lambda: held.work() > 0, 30)
        began = time.monotonic()
        took: list[float] = []

        def end_with_answer() -> None:
            until(lambda: len(held.busy.answers) > 1 or bool(held.busy.ended), 300)
            took.append(time.monotonic() - began)
            held.busy.close()

        client = threading.Thread(target=end_with_answer, daemon=True)
        client.start()
        seen = held.drain(240)
        client.join()
        held.busy.finish()
        return held.told(
            drain=seen, planned=[shown.in_flight, shown.held_open], answer_took_s=took[0]
        )


def late(folder: Path) -> dict[str, Any]:
    """Let the deadline pass while the third one waits, then drain again and cut what is left."""
    with holding(folder) as held:
        held.busy.ask(question(LONG))
        until(lambda: held.work() > 0, 30)
        first = held.told(drain=held.drain(IDLE_S + 1))
        until(lambda: len(held.busy.answers) > 1 or bool(held.busy.ended), 300)
        for stream in held.idle:
            stream.converse(question(SHORT))
        between = held.told(idle_answers=[len(stream.answers) for stream in held.idle])
        held.busy.ask(question(LONG))
        until(lambda: held.work() > 0, 30)
        second = held.drain(IDLE_S + 1, cut=True)
        for stream in (*held.idle, held.busy):
            stream.finish()
        return {"first": first, "between": between, "second": held.told(drain=second)}


def talking(folder: Path) -> dict[str, Any]:
    """Drain while the third one asks each second."""
    asked, ended = [1], threading.Event()
    with holding(folder) as held:

        def talk() -> None:
            while not ended.wait(1.0):
                held.busy.converse(question(SHORT))
                asked[0] += 1

        client = threading.Thread(target=talk)
        client.start()
        try:
            first = held.told(drain=held.drain(4 * IDLE_S))
        finally:
            ended.set()
            client.join()
        second = held.drain(60)
        return {"first": first, "asked": asked[0], "second": held.told(drain=second)}
