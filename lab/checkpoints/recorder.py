"""What an engine answers on its own: no Triton, no backend of ours, no network.

The prompts are rendered by llama.cpp's own template engine, not by the serving backend's, so a
backend that renders or samples otherwise is found out by the tokens.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import httpx
import xllamacpp

from model_registry.fingerprint.probes import TOP_K

CONTEXT_TOKENS = 2048
_TIMEOUT_S = 120.0


def record(
    checkpoint: Path, asked: list[dict[str, Any]]
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Load the checkpoint anew, ask every question and return the engine and the answers."""
    with tempfile.TemporaryDirectory(prefix="record-") as scratch:
        listen = str(Path(scratch) / "engine.sock")
        server = xllamacpp.Server(_parameters(checkpoint, listen))
        transport = httpx.HTTPTransport(uds=listen)
        with httpx.Client(
            transport=transport, base_url="http://engine", timeout=_TIMEOUT_S
        ) as client:
            answers = [_answer(client, question) for question in asked]
        del server
    return {"name": "xllamacpp", "version": xllamacpp.__version__}, answers


def _answer(client: httpx.Client, question: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": question["text_input"]}]
    prompt = _post(client, "/apply-template", {"messages": messages})["prompt"]
    sampling = question["sampling_parameters"]
    answer = _post(
        client,
        "/completion",
        {
            "prompt": prompt,
            "n_predict": sampling["max_tokens"],
            "temperature": sampling["temperature"],
            "seed": sampling["seed"],
            "cache_prompt": False,
            "return_tokens": True,
            "n_probs": TOP_K,
        },
    )
    likeliest = [
        [[top["id"], top["logprob"]] for top in at["top_logprobs"]]
        for at in answer["completion_probabilities"]
    ]
    return {
        **question,
        "token_ids": answer["tokens"],
        "top_logprobs": likeliest,
        "text": answer["content"],
    }


def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = client.post(path, json=body).raise_for_status().json()
    return answer


def _parameters(checkpoint: Path, listen: str) -> xllamacpp.CommonParams:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(checkpoint.glob("*.gguf")))
    template = checkpoint / "chat_template.jinja"
    if template.is_file():
        parameters.chat_template = template.read_text(encoding="utf-8").rstrip("\n")
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.fit_params = False
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.cache_prompt = False
    parameters.cache_ram_mib = 0
    parameters.n_ctx_checkpoints = 0
    parameters.warmup = False
    parameters.verbosity = 1
    parameters.hostnames = [listen]
    return parameters
