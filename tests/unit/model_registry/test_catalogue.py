"""Versions never change, stages change by compare-and-swap, and each decision is kept."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from model_registry.catalogue.audit import audit
from model_registry.catalogue.clock import parse, text_of
from model_registry.catalogue.history import happened, held_at, of_name
from model_registry.catalogue.model import Stage, Verb
from model_registry.catalogue.store import Catalogue
from model_registry.digests import of_bytes
from model_registry.errors import RegistryRefused
from tests.unit.model_registry.clock import Ticking

ONE, TWO, THREE = (of_bytes(text) for text in (b"one", b"two", b"three"))


def do(catalogue: Catalogue, verb: Verb, version: str, why: str = "") -> None:
    catalogue.carry_out(catalogue.plan("chat", version, verb), why=why)


def stages(catalogue: Catalogue) -> dict[str, str]:
    return {v.version: v.stage.value for v in catalogue.versions("chat")}


def test_a_version_never_gets_other_bytes(catalogue: Catalogue) -> None:
    assert catalogue.register("chat", "1", ONE)
    assert not catalogue.register("chat", "1", ONE), "the same bytes again change nothing"
    with pytest.raises(RegistryRefused) as caught:
        catalogue.register("chat", "1", TWO)
    assert caught.value.code == "VERSION_IMMUTABLE"
    assert catalogue.version("chat", "1").digest == ONE
    assert len(catalogue.events()) == 1


@pytest.mark.parametrize(
    ("name", "version", "code"),
    [
        ("Chat", "1", "NAME_INVALID"),
        ("../up", "1", "NAME_INVALID"),
        ("chat", "production", "VERSION_INVALID"),
        ("chat", "1:2", "VERSION_INVALID"),
        ("chat", "", "VERSION_INVALID"),
    ],
)
def test_what_could_not_be_written_again_is_no_name(
    catalogue: Catalogue, name: str, version: str, code: str
) -> None:
    with pytest.raises(RegistryRefused) as caught:
        catalogue.register(name, version, ONE)
    assert caught.value.code == code
    assert catalogue.events() == ()


def test_a_promotion_displaces_who_held_the_stage(catalogue: Catalogue) -> None:
    for version, digest in (("1", ONE), ("2", TWO), ("3", THREE)):
        catalogue.register("chat", version, digest)
    do(catalogue, Verb.PROMOTE, "1")
    do(catalogue, Verb.PROMOTE, "1")
    do(catalogue, Verb.PROMOTE, "2")
    assert stages(catalogue) == {"1": "production", "2": "staging", "3": "candidate"}
    do(catalogue, Verb.PROMOTE, "3")
    assert stages(catalogue) == {"1": "production", "2": "candidate", "3": "staging"}
    do(catalogue, Verb.PROMOTE, "3")
    assert stages(catalogue) == {"1": "retired", "2": "candidate", "3": "production"}
    do(catalogue, Verb.PROMOTE, "1")
    do(catalogue, Verb.PROMOTE, "1")
    assert stages(catalogue) == {"1": "production", "2": "candidate", "3": "retired"}


@pytest.mark.parametrize(
    ("before", "verb"),
    [
        ((), Verb.DEMOTE),
        ((Verb.PROMOTE, Verb.PROMOTE), Verb.PROMOTE),
        ((Verb.PROMOTE, Verb.PROMOTE), Verb.RETIRE),
        ((Verb.RETIRE,), Verb.RETIRE),
        ((Verb.RETIRE,), Verb.DEMOTE),
    ],
)
def test_moves_that_there_are_not(
    catalogue: Catalogue, before: tuple[Verb, ...], verb: Verb
) -> None:
    catalogue.register("chat", "1", ONE)
    for earlier in before:
        do(catalogue, earlier, "1")
    events = catalogue.events()
    with pytest.raises(RegistryRefused) as caught:
        do(catalogue, verb, "1")
    assert caught.value.code == "STAGE_NOT_ALLOWED"
    assert catalogue.events() == events


def test_a_plan_that_no_longer_holds_is_refused(catalogue: Catalogue) -> None:
    catalogue.register("chat", "1", ONE)
    catalogue.register("chat", "2", TWO)
    mine = catalogue.plan("chat", "1", Verb.PROMOTE)
    do(catalogue, Verb.PROMOTE, "2")
    before = catalogue.events()
    with pytest.raises(RegistryRefused) as caught:
        catalogue.carry_out(mine, why="")
    assert caught.value.code == "STAGE_CHANGED"
    assert (catalogue.events(), stages(catalogue)["1"]) == (before, "candidate")


def _race(path: Path, version: str, start: object, answers: object) -> None:
    catalogue = Catalogue(path, who=version)
    plan = catalogue.plan("chat", version, Verb.PROMOTE)
    start.wait()  # type: ignore[attr-defined]
    try:
        catalogue.carry_out(plan, why="")
        answers.put((version, "done"))  # type: ignore[attr-defined]
    except RegistryRefused as error:
        answers.put((version, error.code))  # type: ignore[attr-defined]


def test_of_two_processes_at_once_one_wins_and_the_other_is_told(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    catalogue.register("chat", "1", ONE)
    catalogue.register("chat", "2", TWO)
    fork = multiprocessing.get_context("fork")
    start, answers = fork.Barrier(2), fork.Queue()
    racers = [
        fork.Process(target=_race, args=(catalogue.path, v, start, answers)) for v in ("1", "2")
    ]
    for racer in racers:
        racer.start()
    told = dict(answers.get(timeout=30) for _ in racers)
    for racer in racers:
        racer.join(timeout=30)
    assert sorted(told.values()) == ["STAGE_CHANGED", "done"]
    winner = next(v for v, answer in told.items() if answer == "done")
    holder = catalogue.holder("chat", Stage.STAGING)
    assert holder is not None
    assert holder.version == winner


def test_history_says_what_was_production_when(catalogue: Catalogue, clock: Ticking) -> None:
    catalogue.register("chat", "1", ONE)
    catalogue.register("chat", "2", TWO)
    catalogue.register("other", "1", THREE)
    do(catalogue, Verb.PROMOTE, "1")
    do(catalogue, Verb.PROMOTE, "1", why="first")
    clock.go(hours=2)
    do(catalogue, Verb.PROMOTE, "2")
    do(catalogue, Verb.PROMOTE, "2", why="better")
    clock.go(hours=2)
    do(catalogue, Verb.DEMOTE, "2", why="withdrawn")
    events = catalogue.events()

    def production(at: str) -> tuple[str, str] | None:
        held = held_at(events, "chat", Stage.PRODUCTION, parse(at))
        return held and (held.version, held.why)

    assert production("2026-05-05T13:59:00Z") is None
    assert production("2026-05-05T15:00:00Z") == ("1", "first")
    assert production("2026-05-05T19:00:00+02:00") == ("2", "better")
    assert production("2026-05-05T23:00:00Z") is None
    assert [e.kind for e in of_name(events, "other")] == ["add"]
    assert {e.who for e in events} == {"ada"}
    with pytest.raises(RegistryRefused, match="TIME_INVALID"):
        parse("noon")


def test_time_never_goes_back_in_the_chain(catalogue: Catalogue, clock: Ticking) -> None:
    catalogue.register("chat", "1", ONE)
    clock.go(minutes=-4)
    catalogue.register("chat", "2", TWO)
    clock.go(days=-1)
    catalogue.register("chat", "3", THREE)
    first, second, third = catalogue.events()
    assert second.at >= first.at
    assert third.at < second.at, "the clock of the first was wrong by a day, or this one is"
    times = happened(catalogue.events())
    assert list(times) == sorted(times)


def test_what_is_unknown_names_what_is_known(catalogue: Catalogue) -> None:
    catalogue.register("chat", "1", ONE)
    with pytest.raises(RegistryRefused, match="VERSION_UNKNOWN") as caught:
        catalogue.plan("chat", "9", Verb.PROMOTE)
    assert caught.value.hint == "known are: 1"


def test_one_clock_far_ahead_spoils_no_later_time(catalogue: Catalogue, clock: Ticking) -> None:
    """A host whose clock says 2099 promotes; the next one, by a right clock, is dated right."""
    catalogue.register("chat", "1", of_bytes(b"1"))
    catalogue.register("chat", "2", of_bytes(b"2"))
    do(catalogue, Verb.PROMOTE, "1")
    before = text_of(clock())
    clock.go(days=365 * 73)
    do(catalogue, Verb.PROMOTE, "1")
    clock.go(days=-365 * 73)
    assert [f.code for f in audit(catalogue)] == ["CLOCK_AHEAD"]
    between = text_of(clock())
    do(catalogue, Verb.PROMOTE, "2")
    do(catalogue, Verb.PROMOTE, "2")
    assert audit(catalogue) == ()
    events = catalogue.events()
    assert events[-1].at.startswith("2026")

    def held(at: str) -> str | None:
        found = held_at(events, "chat", Stage.PRODUCTION, at)
        return found.version if found else None

    assert held(before) is None
    assert held(between) is None, "when it happened is known to the next event only"
    assert held(text_of(clock())) == "2"
    times = happened(events)
    assert list(times) == sorted(times)
    assert all(time.startswith("2026") for time in times)


def test_clocks_that_are_a_little_apart_keep_the_order(
    catalogue: Catalogue, clock: Ticking
) -> None:
    catalogue.register("chat", "1", of_bytes(b"1"))
    clock.go(seconds=-30)
    catalogue.register("chat", "2", of_bytes(b"2"))
    first, second = catalogue.events()
    assert second.at == first.at
