"""Do MMIO space and GPU memory of an endpoint suffice for its devices and its checkpoint?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from permafrost.facts import CheckpointFacts
from permafrost.planning.gpu_memory import GIB, memory_need, most_concurrent
from permafrost.planning.gpus import GPUS, GpuKind, mmio_gib
from permafrost.planning.preflight_report import PreflightCheck, PreflightLevel, check
from permafrost.site.model import Endpoint, Site

WITHOUT_CACHE = frozenset({"pulse"})
"""Backends that keep no key-value cache on a GPU."""


def model_checks(
    site: Site, checkpoints: Mapping[str, CheckpointFacts]
) -> Iterator[PreflightCheck]:
    """Yield the checks of every endpoint that has devices passed through."""
    for name, endpoint in sorted(site.inference.items()):
        kind_id = endpoint.gpu.vendor_device
        if kind_id is None:
            continue
        kind = GPUS.get(kind_id)
        path = f"inference.{name}"
        yield check(
            "PREFLIGHT_GPU_UNKNOWN",
            f"{path}.gpu.vendor_device",
            kind is not None,
            seen=f"{kind_id} is {kind.name if kind else 'not in the table'}",
            needed="a kind whose memory and BARs are known",
            hint="check mmio_gib and the model's size against the card's data sheet yourself",
            otherwise=PreflightLevel.ATTENTION,
        )
        if kind is not None:
            yield _mmio(path, endpoint, kind)
            yield from _memory(path, endpoint, kind, checkpoints.get(name))


def sized_by_registry(site: Site) -> tuple[str, ...]:
    """Return the endpoints whose fit on their devices only the registry's metadata can show."""
    return tuple(
        name
        for name, endpoint in sorted(site.inference.items())
        if endpoint.gpu.vendor_device in GPUS and endpoint.backend.value not in WITHOUT_CACHE
    )


def _mmio(path: str, endpoint: Endpoint, kind: GpuKind) -> PreflightCheck:
    need = mmio_gib(kind, endpoint.gpu.count)
    bars = " + ".join(f"{b // 1024} GiB" if b >= 1024 else f"{b} MiB" for b in kind.bars_mib)
    return check(
        "PREFLIGHT_MMIO_TOO_SMALL",
        f"{path}.gpu.mmio_gib",
        endpoint.gpu.mmio_gib >= need,
        seen=f"{endpoint.gpu.mmio_gib} GiB",
        needed=f"{need} GiB: {endpoint.gpu.count} x ({bars}), rounded up to a power of two",
        hint=f"set mmio_gib to {need}; too small, the VM stops at power-on",
    )


def _memory(
    path: str, endpoint: Endpoint, kind: GpuKind, checkpoint: CheckpointFacts | None
) -> Iterator[PreflightCheck]:
    if endpoint.backend.value in WITHOUT_CACHE:
        return
    if checkpoint is None:
        yield check(
            "PREFLIGHT_CHECKPOINT_UNSEEN",
            f"{path}.model",
            False,
            seen="the registry does not tell its size and its layers: it is silent, or lacks it",
            needed=f"weights and KV cache within {kind.memory_gib * endpoint.gpu.count} GiB",
            hint="run it again once the registry answers and is filled",
            otherwise=PreflightLevel.ATTENTION,
        )
        return
    architecture = checkpoint.architecture
    total_gib = kind.memory_gib * endpoint.gpu.count
    if architecture is None:
        weights_gib = checkpoint.bytes / GIB
        yield check(
            "PREFLIGHT_ARCHITECTURE_UNKNOWN",
            f"{path}.model",
            False,
            seen=f"its metadata does not tell layers and heads; weights {weights_gib:.1f} GiB",
            needed=f"weights and KV cache within {total_gib} GiB",
            hint="work out the cache yourself before you rely on max_concurrent",
            otherwise=PreflightLevel.ATTENTION,
        )
        return
    need = memory_need(
        architecture,
        weights_bytes=checkpoint.bytes,
        context_tokens=endpoint.max_context_tokens,
        concurrent=endpoint.max_concurrent,
        gpu_memory_gib=kind.memory_gib,
        gpus=endpoint.gpu.count,
    )
    fits = most_concurrent(
        architecture,
        weights_bytes=checkpoint.bytes,
        context_tokens=endpoint.max_context_tokens,
        usable=need.usable,
    )
    yield check(
        "PREFLIGHT_GPU_MEMORY_TOO_SMALL",
        f"{path}.max_concurrent",
        need.fits,
        seen=f"{need} ({endpoint.gpu.count} x {kind.name})",
        needed=f"room for {endpoint.max_concurrent} requests of "
        f"{endpoint.max_context_tokens} tokens, {architecture.kv_bytes_per_token} bytes a token",
        hint=f"at most {fits} such requests fit; lower max_concurrent or max_context_tokens, "
        "or give more GPUs",
    )
