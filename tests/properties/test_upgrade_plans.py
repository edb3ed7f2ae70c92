"""Plans of upgrades over generated sites: cut at every step and made again, the end is the same.

The steps are carried out on values alone, as their postconditions say. At each of them: clients
are answered only by what is proven, a slot that answers is never loaded nor emptied, nobody is
away. vCenter is away throughout: an upgrade asks nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from permafrost.errors import Problem, Refused
from permafrost.facts import (
    BackendFacts,
    CheckpointFacts,
    NodeFacts,
    ServerFacts,
    ServerState,
    SlotFacts,
    Traffic,
)
from permafrost.planning.lifecycle import Declared, DeclaredState
from permafrost.planning.live import LiveState
from permafrost.planning.release import Release, other_slot, release_of, routes_of
from permafrost.planning.snapshot import Inventory
from permafrost.planning.steps import OperationPlan, OperationStep
from permafrost.planning.upgrade import Wish, choose, plan_upgrade
from permafrost.planning.upgrade_back import (
    plan_retire,
    plan_rollback,
    way_back,
)
from permafrost.planning.upgrade_words import Accept, Strategy
from permafrost.site.model import Site
from permafrost.topology import replicas
from tests.fakes.site import small_site
from tests.properties.recording import recorded

NAME = "pulse"
DIGESTS = [f"sha256:{c * 64}" for c in "bde"]
EDGES = ("lab-edge-01", "lab-edge-02")
ME = Wish("operator:me")
AWAY = Problem("VCENTER_UNREACHABLE", "vCenter does not answer")


@dataclass
class Model:
    """A site as values: what each slot has, what is proven, where edges send requests."""

    site: Site
    held: Release
    loaded: dict[tuple[str, str], str] = field(default_factory=dict)
    proven: set[tuple[str, str]] = field(default_factory=set)
    routes: dict[str, dict[str, str]] = field(default_factory=dict)

    def live(self) -> LiveState:
        nodes, backends = {}, []
        members = [n.name for n in replicas(self.site, NAME)]
        for name in members:
            slots = {
                s: SlotFacts(s, "ADMITTED" if (name, s) in self.proven else "STARTING", d, d)
                for (n, s), d in self.loaded.items()
                if n == name
            }
            seen = slots.get(self.held.live)
            state, checkpoint = (seen.state, seen.checkpoint) if seen else ("OUT", "")
            nodes[name] = NodeFacts(name, state, checkpoint, self.held.live, 0, 0, slots=slots)
        for edge in EDGES:
            for slot in "ab":
                servers = tuple(
                    ServerFacts(edge, f"{NAME}_{slot}", name, (name, slot) in self.proven,
                                ServerState.READY, 0, is_live=self.routes[edge][NAME] == slot)
                    for name in members
                )  # fmt: skip
                backends.append(BackendFacts(edge, f"{NAME}_{slot}", 0, servers))
        traffic = Traffic(tuple(backends), routes=self.routes, routes_in_file=self.routes)
        declared = {n: Declared(n, DeclaredState.ADMITTED, "deploy") for n in members}
        return LiveState(
            Inventory(), traffic, nodes, declared=declared, releases={NAME: self.held},
            blind=(AWAY,),
        )  # fmt: skip

    def do(self, step: OperationStep) -> None:
        """Make a step's postcondition true, after judging that it may be made so."""
        slot = step.arguments.get("slot", "")
        answering = {told[NAME] for told in self.routes.values()}
        if step.kind == "load-slot":
            already = self.loaded.get((step.target, slot)) == step.arguments["checkpoint"]
            assert already or slot not in answering, "loaded under clients"
            self.loaded[step.target, slot] = step.arguments["checkpoint"]
        elif step.kind == "prove-slot":
            self.proven.add((step.target, slot))
        elif step.kind == "unload-slot":
            assert slot not in answering, "emptied under clients"
            assert not any(s == slot for told in self.routes.values() for s in told.values())
            self.loaded.pop((step.target, slot), None)
            self.proven.discard((step.target, slot))
        elif step.kind in ("record-release", "cut-over"):
            self.record(step)
        self.judge()

    def record(self, step: OperationStep) -> None:
        before = self.held
        self.held = recorded(before, step, NAME)
        if self.held is before:
            return
        self.routes = {edge: routes_of([self.held]) for edge in EDGES}

    def judge(self) -> None:
        """Whoever a client may be sent to, is there and proven, as the checkpoint it is named."""
        for told in self.routes.values():
            for key, slot in told.items():
                for node in replicas(self.site, NAME):
                    assert (node.name, slot) in self.proven, f"{key} to {slot}: not proven"
                    wanted = key.partition("@")[2] or self.held.slots[slot]
                    assert self.loaded[node.name, slot] == wanted


@cache
def site_of(count: int, min_ready: int) -> Site:
    return small_site(pulse={"replicas": count, "min_ready": min_ready})


def model(count: int, min_ready: int, slot: str) -> Model:
    site = site_of(count, min_ready)
    record = {
        "asked": DIGESTS[0], "live": slot, "slots": {slot: DIGESTS[0]}, "open": [slot],
        "operation": "", "at": "",
    }  # fmt: skip
    held = release_of(NAME, DIGESTS[0], record)
    made = Model(site, held, routes={edge: routes_of([held]) for edge in EDGES})
    for node in replicas(site, NAME):
        made.loaded[node.name, slot] = DIGESTS[0]
        made.proven.add((node.name, slot))
    return made


def facts(digest: str) -> CheckpointFacts:
    return CheckpointFacts("checkpoints/pulse", digest, 1, 1, True)


def upgrade_of(made: Model, digest: str) -> OperationPlan:
    old = facts(made.held.checkpoint)
    return plan_upgrade(made.site, made.live(), NAME, old=old, new=facts(digest), wish=ME)


shapes = st.integers(2, 5).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(1, n - 1), st.sampled_from("ab"))
)


@settings(deadline=None, max_examples=30)
@given(shapes, st.integers(0, 100), st.booleans())
def test_cut_anywhere_it_is_finished_or_taken_back(
    shape: tuple[int, int, str], cut: int, finished: bool
) -> None:
    made = model(*shape)
    before, plan = made.held, upgrade_of(made, DIGESTS[1])
    for step in plan.steps[: cut % (len(plan.steps) + 1)]:
        made.do(step)
    if finished:
        for step in plan.steps:
            made.do(step)
        assert (made.held.checkpoint, made.held.kept) == (DIGESTS[1], DIGESTS[0])
    else:
        for step in way_back(made.site, made.live(), before, plan.name).steps:
            made.do(step)
        assert made.held.slots == before.slots
        assert {slot for _, slot in made.loaded} == {before.live}


@settings(deadline=None, max_examples=30)
@given(shapes, st.integers(0, 100))
def test_a_plan_made_again_after_a_cut_reaches_the_same_end(
    shape: tuple[int, int, str], cut: int
) -> None:
    made = model(*shape)
    plan = upgrade_of(made, DIGESTS[1])
    for step in plan.steps[: cut % len(plan.steps)]:
        made.do(step)
    for step in upgrade_of(made, DIGESTS[1]).steps:
        made.do(step)
    assert (made.held.checkpoint, made.held.kept) == (DIGESTS[1], DIGESTS[0])
    assert made.held.live == other_slot(shape[2])


@settings(deadline=None, max_examples=30)
@given(shapes, st.lists(st.sampled_from(["back", "retire", *DIGESTS]), max_size=8))
def test_whatever_is_done_after_another_clients_are_answered_by_what_is_proven(
    shape: tuple[int, int, str], wishes: list[str]
) -> None:
    made = model(*shape)
    for wish in wishes:
        try:
            if wish == "back":
                plan = plan_rollback(made.site, made.live(), NAME)
            elif wish == "retire":
                plan = plan_retire(made.site, made.live(), NAME)
            else:
                plan = upgrade_of(made, wish)
        except Refused:
            continue
        for step in plan.steps:
            made.do(step)
    made.judge()
    assert len(made.held.slots) <= 2


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.booleans())
def test_the_way_is_the_safest_that_can_be_had(
    count: int, min_ready: int, beside: bool, mixed: bool
) -> None:
    site = site_of(3, 2)
    endpoint = site.inference[NAME].model_copy(update={"replicas": count, "min_ready": min_ready})
    found = choose(endpoint, beside=beside, why="so", allow_mixed=mixed)
    if beside:
        assert found.strategy is Strategy.SIDE_BY_SIDE
    elif count >= 2 * min_ready:
        assert found.strategy is Strategy.CUT_OVER
    else:
        rolls = mixed and count > min_ready
        assert found.strategy is (Strategy.ROLLING if rolls else None)
    assert all(found.why)


def test_control_a_switch_to_what_is_not_proven_is_judged() -> None:
    made = model(3, 2, "a")
    plan = upgrade_of(made, DIGESTS[1])
    skipped = [s for s in plan.steps if s.kind != "prove-slot"]
    for step in skipped[:-1]:
        made.do(step)
    with pytest.raises(AssertionError, match="not proven"):
        made.do(skipped[-1])


def test_a_slot_that_is_proven_on_too_few_is_not_gone_back_to() -> None:
    made = model(3, 2, "a")
    for step in upgrade_of(made, DIGESTS[1]).steps:
        made.do(step)
    made.proven.discard(("lab-pulse-02", "a"))
    with pytest.raises(Refused, match="SLOT_NOT_READY"):
        plan_rollback(made.site, made.live(), NAME)
    with pytest.raises(Refused, match="UPGRADE_SLOT_TAKEN"):
        plan_upgrade(
            made.site, made.live(), NAME, old=facts(DIGESTS[1]), new=facts(DIGESTS[2]),
            wish=replace(ME, accepted=frozenset(Accept)),
        )  # fmt: skip
