"""Plans that exchange slots, over generated sites: cut anywhere, finished or taken back.

The steps are carried out on values alone, as their postconditions say. At each of them: a pin is
answered by its own checkpoint or by nobody, ``min_ready`` replicas serve what clients without a
pin are sent to, cut-over mixes no versions, and no slot is emptied under clients.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from permafrost.errors import Problem
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
from permafrost.planning.release import Release, other_slot, release_of, routes_of, slots_of
from permafrost.planning.snapshot import Inventory
from permafrost.planning.steps import OperationPlan, OperationStep
from permafrost.planning.upgrade import Wish, plan_upgrade
from permafrost.planning.upgrade_back import way_back_by_exchange
from permafrost.planning.upgrade_words import Strategy
from permafrost.site.model import Site
from permafrost.topology import replicas
from tests.fakes.site import small_site
from tests.properties.recording import recorded

NAME, EDGES = "pulse", ("lab-edge-01", "lab-edge-02")
OLD, NEW = (f"sha256:{c * 64}" for c in "bd")
ME = "operator:me"
AWAY = Problem("VCENTER_UNREACHABLE", "vCenter does not answer")


@dataclass
class Model:
    """A site as values: what each replica holds, who is kept away, where edges send requests."""

    site: Site
    way: Strategy
    held: Release
    holds: dict[str, tuple[str, str]] = field(default_factory=dict)
    proven: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)

    @property
    def floor(self) -> int:
        return self.site.inference[NAME].min_ready

    def serving(self) -> set[str]:
        """Return who answers clients without a pin."""
        slots = slots_of(routes_of([self.held]), NAME)
        ready = self.proven - self.away
        return {n for n in ready if self.holds[n][0] in slots}

    def live(self) -> LiveState:
        routes = {edge: routes_of([self.held]) for edge in EDGES}
        slots = slots_of(routes[EDGES[0]], NAME)
        nodes, backends = {}, []
        for name, (slot, digest) in self.holds.items():
            state = "ADMITTED" if name in self.proven else "STARTING"
            told = {slot: SlotFacts(slot, state, digest, digest)}
            is_live = slot == self.held.live
            nodes[name] = NodeFacts(
                name, state if is_live else "OUT", digest if is_live else "", self.held.live, 0, 0,
                slots=told,
            )  # fmt: skip
        for edge in EDGES:
            for slot in "ab":
                servers = tuple(
                    ServerFacts(edge, f"{NAME}_{slot}", n, n in self.proven and held[0] == slot,
                                ServerState.DRAIN if n in self.away else ServerState.READY, 0,
                                is_live=slot in slots)
                    for n, held in self.holds.items()
                )  # fmt: skip
                backends.append(BackendFacts(edge, f"{NAME}_{slot}", 0, servers))
        declared = {
            n: Declared(n, DeclaredState.DRAINED if n in self.away else DeclaredState.ADMITTED, ME)
            for n in self.holds
        }
        return LiveState(
            Inventory(), Traffic(tuple(backends), routes=routes, routes_in_file=routes), nodes,
            declared=declared, releases={NAME: self.held}, blind=(AWAY,),
        )  # fmt: skip

    def do(self, step: OperationStep) -> None:
        """Make a step's postcondition true, after judging that it may be made so."""
        name, slot = step.target, step.arguments.get("slot", "")
        if "moved_to" in step.arguments:
            wanted = tuple(step.arguments["moved_to"].split("=", 1))
            if self.holds[name] != wanted and step.kind == "set-edges-to-drain":
                taken = name in self.serving()
                assert not taken or len(self.serving() - {name}) >= self.floor, "too few are left"
                self.away.add(name)
        elif step.kind == "exchange-slot":
            wanted = (slot, step.arguments["checkpoint"])
            if self.holds[name] != wanted:
                assert name in self.away, "exchanged under clients"
                self.holds[name] = wanted
                self.proven.discard(name)
        elif step.kind == "prove-slot":
            self.proven.add(name)
        elif step.kind == "set-edges-to-let-in":
            assert name in self.proven
            self.away.discard(name)
        elif step.kind in ("record-release", "set-share", "cut-over"):
            self.record(step)
        self.judge()

    def record(self, step: OperationStep) -> None:
        self.held = recorded(self.held, step, NAME)

    def judge(self) -> None:
        routes = routes_of([self.held])
        assert len(self.serving()) >= self.floor, f"{self.serving()} serve"
        for key, slot in routes.items():
            pin = key.partition("@")[2]
            for name in self.proven - self.away:
                if pin and self.holds[name][0] == slot:
                    assert self.holds[name][1] == pin, f"{name} answers a pin to {pin}"
        if self.way is Strategy.CUT_OVER:
            assert len({self.holds[n][1] for n in self.serving()}) == 1, "versions are mixed"


@cache
def site_of(count: int, min_ready: int) -> Site:
    return small_site(pulse={"replicas": count, "min_ready": min_ready})


def model(count: int, min_ready: int, slot: str, way: Strategy) -> Model:
    site = site_of(count, min_ready)
    record = {
        "asked": OLD, "live": slot, "slots": {slot: OLD}, "open": [slot],
        "operation": "", "at": "",
    }  # fmt: skip
    names = {n.name for n in replicas(site, NAME)}
    made = Model(site, way, release_of(NAME, OLD, record), proven=set(names))
    made.holds = dict.fromkeys(sorted(names), (slot, OLD))
    return made


def plan_of(made: Model) -> OperationPlan:
    old, new = (CheckpointFacts("checkpoints/pulse", d, 1, 1, True) for d in (OLD, NEW))
    wish = Wish(ME, allow_mixed=True, way=made.way)
    return plan_upgrade(made.site, made.live(), NAME, old=old, new=new, wish=wish)


shapes = st.integers(2, 6).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.integers(1, n - 1),
        st.sampled_from("ab"),
        st.sampled_from([Strategy.CUT_OVER, Strategy.ROLLING]),
    )
)


@settings(deadline=None, max_examples=60)
@given(shapes, st.integers(0, 1000), st.booleans())
def test_cut_anywhere_it_is_finished_or_taken_back(
    shape: tuple[int, int, str, Strategy], cut: int, finished: bool
) -> None:
    assume(shape[3] is Strategy.ROLLING or shape[0] >= 2 * shape[1])
    made = model(*shape)
    before, plan = made.held, plan_of(made)
    at = cut % (len(plan.steps) + 1)
    done(made, plan.steps[:at])
    if finished:
        done(made, plan.steps[at:])
        assert set(made.holds.values()) == {(other_slot(shape[2]), NEW)}
        assert (made.held.checkpoint, made.held.previous) == (NEW, OLD)
    else:
        mixed = shape[3] is Strategy.ROLLING
        back = way_back_by_exchange(
            made.site, made.live(), before, plan.name, owner=ME, mixed=mixed
        )
        done(made, back.steps)
        assert set(made.holds.values()) == {(shape[2], OLD)}
        assert made.held == replace(before, operation=made.held.operation, at=made.held.at)
    assert (made.away, made.held.share) == (set(), 0)
    assert made.serving() == set(made.holds)


@settings(deadline=None, max_examples=30)
@given(shapes, st.integers(0, 1000), st.integers(0, 1000))
def test_a_way_back_that_is_cut_is_planned_again(
    shape: tuple[int, int, str, Strategy], cut: int, again: int
) -> None:
    assume(shape[3] is Strategy.ROLLING or shape[0] >= 2 * shape[1])
    made = model(*shape)
    before, plan = made.held, plan_of(made)
    mixed = shape[3] is Strategy.ROLLING
    for step in plan.steps[: cut % (len(plan.steps) + 1)]:
        made.do(step)
    for at in (again, None):
        back = way_back_by_exchange(
            made.site, made.live(), before, plan.name, owner=ME, mixed=mixed
        )
        for step in back.steps if at is None else back.steps[: at % (len(back.steps) + 1)]:
            made.do(step)
    assert set(made.holds.values()) == {(shape[2], OLD)}
    assert made.away == set()


@pytest.mark.parametrize("left_out", ["set-edges-to-drain", "prove-slot"])
def test_control_a_plan_without_drain_or_proof_is_judged(left_out: str) -> None:
    made = model(4, 2, "a", Strategy.CUT_OVER)
    steps = [s for s in plan_of(made).steps if s.kind != left_out]
    with pytest.raises(AssertionError):
        done(made, steps)


def done(made: Model, steps: Iterable[OperationStep]) -> None:
    for step in steps:
        made.do(step)


def test_control_a_pin_that_is_sent_to_the_other_version_is_judged() -> None:
    made = model(4, 2, "a", Strategy.CUT_OVER)
    made.held = replace(made.held, slots={"a": NEW}, open=("a",))
    with pytest.raises(AssertionError, match="answers a pin"):
        made.judge()
