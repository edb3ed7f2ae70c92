"""Which streams only wait for their client."""

from __future__ import annotations

from dataclasses import replace

from permafrost.facts import StreamFacts
from permafrost.planning.streams import StreamWatch

ONE = StreamFacts("edge-1", 7, "0x1#1", True, (10, 20))
TWO = replace(ONE, name="0x2#2")


def watched(*looks: tuple[float, tuple[StreamFacts, ...] | None]) -> StreamWatch:
    """Return what is known after looks; None: the server had something in flight."""
    watch = StreamWatch(10.0)
    for now, streams in looks:
        watch = watch.busy() if streams is None else watch.quiet(streams, now)
    return watch


def test_one_on_which_nothing_moves_for_long_enough_is_idle() -> None:
    watch = watched((0, (ONE,)), (9.5, (ONE,)))
    assert watch.idle(9.9) == ()
    assert watch.idle(10.0) == (ONE,)


def test_a_byte_from_either_side_begins_the_time_anew() -> None:
    for moved in ((11, 20), (10, 21)):
        asked = replace(ONE, moved=moved)
        watch = watched((0, (ONE, TWO)), (9.5, (asked, TWO)), (10, (asked, TWO)))
        assert watch.idle(10) == (TWO,)
        assert watch.idle(19.5) == (asked, TWO)


def test_while_the_server_has_something_none_is_idle_for_how_long_ever() -> None:
    assert watched((0, (ONE,)), (0.5, (ONE,)), (20, None)).idle(20) == ()
    assert watched((0, (ONE,)), (20, None), (20.5, (ONE,))).idle(20.5) == (), "seen quiet once"
    assert watched((0, (ONE,)), (20, None), (20.5, (ONE,)), (21, (ONE,))).idle(21) == (ONE,)


def test_one_beside_another_that_is_used_now_and_then_is_idle_all_the_same() -> None:
    used = [replace(ONE, moved=(10 + n, 20)) for n in range(5)]
    looks = [(3.0 * n, look) for n in range(5) for look in ((used[n], TWO), None)]
    watch = watched(*looks, (15, (used[4], TWO)), (15.5, (used[4], TWO)))
    assert watch.idle(15.5) == (TWO,)


def test_a_request_whose_client_has_said_all_is_work_however_long_it_takes() -> None:
    whole = replace(ONE, is_held=False)
    watch = watched((0, (whole,)), (100, (whole,)))
    assert watch.idle(100) == ()
    assert watch.still(100) == (whole,)


def test_an_address_that_another_stream_has_now_is_another_stream() -> None:
    other = replace(ONE, name="0x1#9")
    assert watched((0, (ONE,)), (9, (other,)), (9.5, (other,))).idle(12) == ()
