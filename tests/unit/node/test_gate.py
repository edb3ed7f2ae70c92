"""The gate: no way to ADMITTED but the pinned digest and the recorded tokens."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from permafrost.node.errors import NodeError
from permafrost.node.fingerprint import Probe
from permafrost.node.gate import ADMITTED, FRESH_S, OUT, STARTING, Gate
from permafrost.node.service import TICK_S
from permafrost.node.triton import READY_S, Load, TritonError
from tests.unit.node.gate_bench import OTHER, PINNED, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def admitted(bench: Bench) -> Bench:
    bench.run()
    assert bench.state == ADMITTED
    return bench


def test_it_starts_closed_and_opens_by_two_probes(bench: Bench) -> None:
    assert (bench.state, bench.healthy) == (STARTING, False)
    bench.gate.step()
    assert bench.state == STARTING
    bench.run()
    assert (bench.state, bench.healthy) == (ADMITTED, True)
    assert bench.triton.asked == [("first?", 3), ("second?", 3)]


def test_another_digest_stays_out_without_a_generation(bench: Bench) -> None:
    bench.triton.digest = OTHER
    bench.run()
    assert bench.state == OUT
    assert OTHER in bench.gate.view().reason
    assert bench.triton.asked == []


@pytest.mark.parametrize(
    ("given", "words"),
    [((4, 5, 7), "token 2 is 7, recorded is 6"), ((4, 5), "2 tokens, recorded are 3")],
)
def test_other_tokens_stay_out_and_the_first_difference_is_told(
    bench: Bench, given: tuple[int, ...], words: str
) -> None:
    bench.triton.answers["second?"] = given
    bench.run()
    assert bench.state == OUT
    assert bench.gate.view().reason == f"probe two: {words}"
    bench.run(60)
    assert bench.state == OUT, "nothing but a restart or an asked-for probe tries again"


def test_without_a_fingerprint_it_stays_out(bench: Bench) -> None:
    def missing() -> tuple[Probe, ...]:
        raise NodeError("FINGERPRINT_MISSING", "no file")

    bench.gate = Gate(bench.triton, PINNED, missing, lambda: bench.time)
    bench.run()
    assert bench.state == OUT
    assert "FINGERPRINT_MISSING" in bench.gate.view().reason


def test_a_hung_triton_fails_the_health_call_within_two_seconds(admitted: Bench) -> None:
    admitted.triton.hung = True
    admitted.time += 1.9
    admitted.gate.tick()
    assert not admitted.healthy
    assert admitted.state == ADMITTED, "slow is not yet gone"
    admitted.triton.hung = False
    admitted.run()
    assert admitted.healthy, "a late answer needs no new gate"


def test_a_slow_triton_that_gives_tokens_stays_in_rotation(admitted: Bench) -> None:
    """Slow is not hung: readiness comes late, and tokens come nevertheless."""
    admitted.triton.hung = True
    for tokens in range(101, 140):
        admitted.triton.flight = Load(0, 5, tokens)
        admitted.run(1.2)
        assert admitted.healthy, tokens
    assert not admitted.gate.view().must_restart
    admitted.run(1.2)
    admitted.time += 0.2
    assert not admitted.healthy, "no token and no answer: hung"


def test_tokens_that_came_before_the_call_do_not_prolong_a_hang(admitted: Bench) -> None:
    """They are of before: only what comes while the call waits says that it is slow."""
    began = admitted.time
    admitted.triton.flight = Load(0, 5, 120)
    admitted.triton.hung = True

    def wait() -> None:
        admitted.time += READY_S

    admitted.triton.while_it_waits = wait
    admitted.run(TICK_S)
    admitted.time = began + TICK_S + FRESH_S + 0.05
    assert not admitted.healthy
    assert admitted.time - began < 1.7, "the edges look within a quarter of a second"


def test_a_backend_that_died_behind_a_ready_server_is_out_at_the_next_look(
    admitted: Bench,
) -> None:
    admitted.triton.backend_lives = False
    admitted.run()
    view = admitted.gate.view()
    assert (view.state, view.healthy, view.must_restart) == (STARTING, False, True)
    assert "ended" in view.reason
    admitted.triton.backend_lives, admitted.triton.up = True, False
    admitted.run()
    assert not admitted.gate.view().must_restart
    admitted.triton.up = True
    admitted.run(1.0)
    assert (admitted.state, admitted.healthy) == (ADMITTED, True)


def test_only_a_long_silence_asks_for_a_restart(admitted: Bench) -> None:
    admitted.triton.hung = True
    for _ in range(30):
        admitted.run(1.0)
        assert not admitted.gate.view().must_restart
    admitted.run(1.5)
    assert admitted.gate.view().must_restart
    admitted.triton.hung = False
    admitted.run()
    assert not admitted.gate.view().must_restart


def test_health_goes_stale_by_itself_when_nobody_ticks(admitted: Bench) -> None:
    admitted.time += 1.9
    assert not admitted.healthy


def test_a_long_silence_means_the_gate_again(admitted: Bench) -> None:
    admitted.triton.hung = True
    for _ in range(8):
        admitted.run(1.0)
    assert admitted.state == STARTING
    admitted.triton.hung, admitted.triton.answers["first?"] = False, (9, 9, 9)
    admitted.run(1.0)
    assert admitted.state == OUT


def test_a_restarted_triton_passes_the_gate_again(admitted: Bench) -> None:
    admitted.triton.up = False
    admitted.run()
    assert (admitted.state, admitted.healthy) == (STARTING, False)
    admitted.triton.up, admitted.triton.digest = True, OTHER
    admitted.run(1.0)
    assert admitted.state == OUT
    admitted.triton.up = False
    admitted.run()
    admitted.triton.up, admitted.triton.digest = True, PINNED
    admitted.run(1.0)
    assert (admitted.state, admitted.healthy) == (ADMITTED, True)


def test_real_tokens_count_as_life(admitted: Bench) -> None:
    admitted.triton.asked.clear()
    for tokens in range(101, 140):
        admitted.triton.flight = Load(0, 1, tokens)
        admitted.run(1.0)
    assert admitted.triton.asked == []
    admitted.triton.flight = Load(0, 0, 139)
    for _ in range(5):
        admitted.run(1.0)
    assert admitted.triton.asked == [("first?", 1)], "quiet for five seconds: one tiny generation"


def test_no_generation_of_ours_while_requests_run(admitted: Bench) -> None:
    admitted.triton.asked.clear()
    admitted.triton.flight = Load(3, 1, 100)
    for _ in range(20):
        admitted.run(1.0)
    assert admitted.triton.asked == []
    for _ in range(15):
        admitted.run(1.0)
    assert admitted.triton.asked, "no token for half a minute: is it stuck?"


def test_a_dead_backend_behind_a_ready_server_is_found(admitted: Bench) -> None:
    admitted.triton.generates = False
    for _ in range(6):
        admitted.run(1.0)
    assert (admitted.state, admitted.healthy) == (STARTING, False)


def test_a_token_that_changes_while_serving_takes_it_out(admitted: Bench) -> None:
    admitted.triton.answers["first?"] = (8, 2, 3)
    for _ in range(6):
        admitted.run(1.0)
    assert admitted.state == OUT


def test_withdrawn_stays_out_until_asked(admitted: Bench) -> None:
    admitted.gate.withdraw("by hand")
    assert (admitted.state, admitted.healthy) == (OUT, False)
    admitted.triton.up = False
    admitted.run()
    admitted.triton.up = True
    for _ in range(5):
        admitted.run(5.0)
    assert (admitted.state, admitted.gate.view().reason) == (OUT, "by hand")
    assert admitted.gate.probe().passed
    assert admitted.state == ADMITTED


def test_a_failed_probe_does_not_undo_a_withdrawal(admitted: Bench) -> None:
    admitted.gate.withdraw("by hand")
    admitted.triton.answers["first?"] = (0,)
    verdict = admitted.gate.probe()
    assert (verdict.passed, admitted.state) == (False, OUT)
    assert verdict.detail.startswith("probe one")


def test_every_probe_on_request(admitted: Bench) -> None:
    admitted.triton.answers["third?"] = (7, 8, 0)
    assert admitted.gate.probe().passed
    assert not admitted.gate.probe(every=True).passed
    assert admitted.state == OUT


def test_a_triton_that_restarts_during_the_probe_is_not_admitted(bench: Bench) -> None:
    bench.gate.tick()
    real = bench.triton.generate

    def restart(text: str, sampling: dict[str, Any], deadline_s: float) -> tuple[int, ...]:
        bench.triton.up = False
        bench.gate.tick()
        bench.triton.up = True
        bench.gate.tick()
        return real(text, sampling, deadline_s)

    bench.triton.generate = restart  # type: ignore[method-assign]
    assert not bench.gate.probe().passed
    assert bench.state == STARTING


def test_a_hung_generation_does_not_stop_the_ticks(bench: Bench) -> None:
    bench.gate.tick()
    release, inside = threading.Event(), threading.Event()

    def hang(text: str, sampling: dict[str, Any], deadline_s: float) -> tuple[int, ...]:
        inside.set()
        assert release.wait(10)
        raise TritonError("Triton did not answer in time")

    bench.triton.generate = hang  # type: ignore[method-assign]
    worker = threading.Thread(target=bench.gate.step)
    worker.start()
    assert inside.wait(10)
    bench.gate.tick()
    assert not bench.healthy
    release.set()
    worker.join(10)
    assert bench.state == STARTING


def test_what_is_loaded_is_told_by_the_triton_that_runs() -> None:
    bench = Bench()
    assert bench.gate.view().loaded == ""
    bench.run()
    assert (bench.state, bench.gate.view().loaded) == (ADMITTED, PINNED)
    bench.triton.up = False
    bench.run()
    assert (bench.state, bench.gate.view().loaded) == (STARTING, "")
    bench.triton.up, bench.triton.digest = True, OTHER
    bench.run(1.0)
    assert (bench.state, bench.gate.view().loaded) == (OUT, OTHER)


def test_a_triton_that_restarts_while_withdrawn_tells_what_it_has_loaded() -> None:
    bench = Bench()
    bench.run()
    bench.gate.withdraw("by hand")
    bench.triton.up = False
    bench.run()
    assert bench.gate.view().loaded == ""
    bench.triton.up, bench.triton.digest = True, OTHER
    bench.run()
    assert (bench.state, bench.gate.view().loaded) == (OUT, OTHER)


def test_a_triton_that_comes_and_goes_during_a_probe_is_not_admitted_unknown() -> None:
    """Admitted means that what is loaded is known, whatever the ticks saw meanwhile."""
    bench = Bench()
    real = bench.triton.generate

    def generate(text: str, sampling: dict[str, Any], deadline_s: float) -> tuple[int, ...]:
        bench.triton.up = False
        bench.gate.tick()
        bench.triton.up = True
        bench.gate.tick()
        return real(text, sampling, deadline_s)

    bench.triton.generate = generate  # type: ignore[method-assign]
    bench.gate.probe()
    assert (bench.state == ADMITTED) == (bench.gate.view().loaded == PINNED)
