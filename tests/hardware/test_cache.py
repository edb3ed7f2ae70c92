"""Weights and key-value cache: what is worked out from metadata, and what is taken."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from permafrost.planning.gpu_memory import GIB, Architecture, memory_need, most_concurrent
from tests.hardware.card import TOLD, device, model_of

CONTEXT, CONCURRENT = 4096, 8
LLAMA_3_8B = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    "max_position_embeddings": 8192, "tie_word_embeddings": False,
}  # fmt: skip
LLAMA_2_7B = {
    **LLAMA_3_8B,
    "intermediate_size": 11008,
    "num_key_value_heads": 32,
    "vocab_size": 32000,
}


def _architecture(facts: dict[str, Any]) -> Architecture:
    heads = facts["num_attention_heads"]
    return Architecture(
        facts["num_hidden_layers"], facts["num_key_value_heads"], facts["hidden_size"] // heads
    )


@pytest.mark.parametrize("facts", [LLAMA_3_8B, LLAMA_2_7B], ids=["grouped", "plain"])
def test_the_cache_takes_what_is_worked_out(
    facts: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    architecture = _architecture(facts)
    before = torch.cuda.memory_allocated()
    model = model_of(facts)
    weights = torch.cuda.memory_allocated() - before
    need = memory_need(
        architecture, weights_bytes=weights, context_tokens=CONTEXT, concurrent=CONCURRENT,
        gpu_memory_gib=80, gpus=1,
    )  # fmt: skip
    tokens = torch.randint(0, facts["vocab_size"], (CONCURRENT, CONTEXT), device="cuda")
    with torch.inference_mode():
        held = torch.cuda.memory_allocated()
        cache = model(tokens, use_cache=True, logits_to_keep=1).past_key_values
        torch.cuda.synchronize()
        seen = torch.cuda.memory_allocated() - held
    layers = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    TOLD[f"cache-{request.node.callspec.id}"] = {
        "worked_out": need.kv_cache, "tensors": layers, "allocated": seen, "weights": weights,
        "parameters": sum(p.numel() for p in model.parameters()),
    }  # fmt: skip
    assert layers == need.kv_cache
    assert seen == pytest.approx(need.kv_cache, rel=0.02)


def _attend(facts: dict[str, Any], requests: int) -> None:
    """Hold the caches of so many requests and decode one token against all of them."""
    heads, kv = facts["num_attention_heads"], facts["num_key_value_heads"]
    width = facts["hidden_size"] // heads
    shape = (requests, kv, facts["max_position_embeddings"], width)
    options = {"device": "cuda", "dtype": torch.bfloat16}
    caches = [
        (torch.zeros(shape, **options), torch.zeros(shape, **options))
        for _ in range(facts["num_hidden_layers"])
    ]
    query = torch.randn((requests, heads, 1, width), **options)
    for keys, values in caches:
        query = torch.nn.functional.scaled_dot_product_attention(
            query, keys, values, enable_gqa=True
        )
    torch.cuda.synchronize()


def test_as_many_requests_as_fit_do_fit_and_the_control_does_not() -> None:
    _, _, kind = device()
    architecture, context = _architecture(LLAMA_3_8B), LLAMA_3_8B["max_position_embeddings"]
    before = torch.cuda.memory_allocated()
    model = model_of(LLAMA_3_8B)
    weights = torch.cuda.memory_allocated() - before
    need = memory_need(
        architecture, weights_bytes=weights, context_tokens=context, concurrent=1,
        gpu_memory_gib=kind.memory_gib, gpus=1,
    )  # fmt: skip
    fits = most_concurrent(
        architecture, weights_bytes=weights, context_tokens=context, usable=need.usable
    )
    with torch.inference_mode():
        _attend(LLAMA_3_8B, fits)
        peak = torch.cuda.max_memory_allocated()
        TOLD["fits"] = {
            "requests": fits, "of_tokens": context, "peak": peak, "usable": need.usable
        }  # fmt: skip
        torch.cuda.empty_cache()
        # Nothing left to the engine, and a tenth more than the card has.
        above = int(kind.memory_gib * GIB * 1.1)
        too_many = most_concurrent(
            architecture, weights_bytes=weights, context_tokens=context, usable=above
        )
        TOLD["control"] = {"requests": too_many}
        with pytest.raises(torch.OutOfMemoryError):
            _attend(LLAMA_3_8B, too_many)
    del model
