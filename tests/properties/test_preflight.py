"""MMIO sizes and cache sizes for any card and any model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from permafrost.planning.gpu_memory import Architecture, memory_need, most_concurrent
from permafrost.planning.gpus import GPUS, GpuKind, mmio_gib

KINDS = st.builds(
    GpuKind,
    name=st.just("card"),
    memory_gib=st.integers(1, 300),
    bars_mib=st.lists(st.integers(1, 300 * 1024), min_size=1, max_size=6).map(tuple),
    source=st.just("made up"),
)
MODELS = st.builds(
    Architecture,
    layers=st.integers(1, 200),
    kv_heads=st.integers(1, 128),
    head_dim=st.integers(1, 512),
    kv_bytes=st.sampled_from([1, 2, 4]),
)


@given(
    st.one_of(KINDS, st.sampled_from(sorted(GPUS.values(), key=lambda g: g.name))),
    st.integers(1, 16),
)
def test_mmio_is_the_smallest_power_of_two_that_holds_all_bars(kind: GpuKind, count: int) -> None:
    need_mib, size = count * sum(kind.bars_mib), mmio_gib(kind, count)
    assert size & (size - 1) == 0
    assert size * 1024 >= need_mib
    assert size == 1 or size * 512 < need_mib


@given(KINDS, st.integers(1, 15))
def test_another_device_never_needs_less(kind: GpuKind, count: int) -> None:
    assert mmio_gib(kind, count) <= mmio_gib(kind, count + 1)


@given(
    model=MODELS,
    weights=st.integers(0, 300 << 30),
    context=st.integers(16, 1 << 20),
    concurrent=st.integers(1, 1000),
    gpus=st.integers(1, 8),
)
def test_the_number_that_is_said_to_fit_does_and_one_more_does_not(
    model: Architecture, weights: int, context: int, concurrent: int, gpus: int
) -> None:
    def need(requests: int) -> bool:
        return memory_need(
            model,
            weights_bytes=weights,
            context_tokens=context,
            concurrent=requests,
            gpu_memory_gib=80,
            gpus=gpus,
        ).fits

    usable = memory_need(
        model, weights_bytes=0, context_tokens=1, concurrent=1, gpu_memory_gib=80, gpus=gpus
    ).usable
    most = most_concurrent(model, weights_bytes=weights, context_tokens=context, usable=usable)
    if most:
        assert need(most)
    assert not need(most + 1)
    assert need(concurrent) == (concurrent <= most)
