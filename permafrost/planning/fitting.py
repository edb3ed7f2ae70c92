"""May a checkpoint take the place of another: memory for both, and what clients rely on."""

from __future__ import annotations

from dataclasses import dataclass

from permafrost.errors import Problem
from permafrost.facts import CheckpointFacts
from permafrost.planning.gpu_memory import GIB, MemoryNeed, memory_need
from permafrost.planning.gpus import GPUS
from permafrost.planning.preflight_model import WITHOUT_CACHE
from permafrost.planning.upgrade_words import Accept
from permafrost.site.model import Endpoint, GpuMode


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether both checkpoints fit a replica at once. ``is_known``: whether that was computed."""

    fits: bool
    is_known: bool
    why: str


def fit_beside(endpoint: Endpoint, old: CheckpointFacts, new: CheckpointFacts) -> Fit:
    """Return whether two servers with their caches fit the devices of one replica.

    Each server is given the whole cache of ``max_concurrent`` full contexts, and the engine's
    share of the memory is left free once for each.
    """
    if endpoint.backend.value in WITHOUT_CACHE:
        return Fit(True, True, f"{endpoint.backend.value} keeps nothing on a GPU")
    if endpoint.gpu.mode is GpuMode.NONE:
        room = endpoint.vm.memory_mib << 20
        need = old.bytes + new.bytes
        text = f"weights {need / GIB:.1f} GiB of {room / GIB:.1f} GiB of memory, half left free"
        return Fit(2 * need <= room, True, text)
    kind = GPUS.get(endpoint.gpu.vendor_device or "")
    if kind is None or old.architecture is None or new.architecture is None:
        return Fit(False, False, "the size of the cache or of the GPU is not known")
    needs = [
        memory_need(
            facts.architecture,
            weights_bytes=facts.bytes,
            context_tokens=endpoint.max_context_tokens,
            concurrent=endpoint.max_concurrent,
            gpu_memory_gib=kind.memory_gib,
            gpus=endpoint.gpu.count,
        )
        for facts in (old, new)
        if facts.architecture is not None
    ]
    total = MemoryNeed(
        sum(n.weights for n in needs),
        sum(n.kv_cache for n in needs),
        # A second engine keeps its share too.
        2 * needs[0].usable - kind.memory_gib * GIB * endpoint.gpu.count,
    )
    return Fit(total.fits, True, f"{total}, for both")


def client_problems(
    endpoint: Endpoint, old: CheckpointFacts, new: CheckpointFacts, accepted: frozenset[Accept]
) -> tuple[Problem, ...]:
    """Return what clients could notice beside the better answers, unless it was accepted."""
    found: list[tuple[Accept, str, str]] = []
    if new.context_tokens is not None and new.context_tokens < endpoint.max_context_tokens:
        found.append(
            (
                Accept.CONTEXT,
                "UPGRADE_CONTEXT_SMALLER",
                f"it serves {new.context_tokens} tokens of context, clients may send "
                f"{endpoint.max_context_tokens} (max_context_tokens)",
            )
        )
    if old.context_tokens is not None and new.context_tokens is None:
        found.append(
            (
                Accept.CONTEXT,
                "UPGRADE_CONTEXT_SMALLER",
                f"it does not tell its context, the one that serves has {old.context_tokens} "
                f"tokens, and clients may send {endpoint.max_context_tokens} (max_context_tokens)",
            )
        )
    if old.tokenizer and new.tokenizer != old.tokenizer:
        seen = "has another tokenizer" if new.tokenizer else "does not tell its tokenizer"
        found.append(
            (
                Accept.TOKENIZER,
                "UPGRADE_TOKENIZER_DIFFERS",
                f"it {seen}: token ids, counts and log-probabilities mean something else",
            )
        )
    if old.contract and new.contract != old.contract:
        found.append(
            (
                Accept.CONTRACT,
                "UPGRADE_CONTRACT_DIFFERS",
                "it has another chat template: prompts are put together in another way",
            )
        )
    return tuple(
        Problem(code, said, f"{new.name}@{new.digest}", f"`--accept {what.value}` if it is meant")
        for what, code, said in found
        if what not in accepted
    )
