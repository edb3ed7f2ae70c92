"""What a relay takes from the wire, and what its weather does with it."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from lab.faults.relay import VNET_HEADER, Weather, is_for

MAC = bytes.fromhex("005056000021")
OTHER = bytes.fromhex("005056000022")
BROADCAST = b"\xff" * 6


def frame(destination: bytes) -> bytes:
    return b"\0" * VNET_HEADER + destination + OTHER + b"\x08\x00" + b"x" * 40


def test_frames_for_the_far_card_and_for_everybody_are_relayed_and_no_others() -> None:
    assert is_for(frame(MAC), MAC)
    assert is_for(frame(BROADCAST), MAC)
    assert not is_for(frame(OTHER), MAC)
    assert not is_for(b"\0" * VNET_HEADER, MAC)


@given(st.floats(0, 1), st.floats(0, 5), st.floats(0, 5), st.integers())
def test_a_frame_is_lost_or_late_within_its_bounds(
    loss: float, delay_s: float, jitter_s: float, seed: int
) -> None:
    weather = Weather(loss, delay_s, jitter_s, random.Random(seed))
    fates = [weather.lateness_s() for _ in range(200)]
    assert all(late is None or delay_s <= late <= delay_s + jitter_s for late in fates)
    if loss == 0:
        assert None not in fates
    if loss == 1:
        assert set(fates) == {None}


def test_the_same_seed_loses_the_same_frames() -> None:
    def lost(seed: int) -> list[bool]:
        weather = Weather(0.3, 0.01, 0, random.Random(seed))
        return [weather.lateness_s() is None for _ in range(1000)]

    assert lost(1) == lost(1)
    assert lost(1) != lost(2)
    assert 200 < sum(lost(1)) < 400
