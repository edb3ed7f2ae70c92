"""Triton Python backend for GGUF checkpoints: llama.cpp behind the vLLM backend's tensors.

``execute`` only queues; one worker thread generates one request at a time. Requests are never
logged. The engine is in ``engine.py`` beside this file.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from counters import open_counters
from engine import Cancelled, Engine, EngineError, Piece

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
MAX_TOKENS = 64
CANCEL_POLL_S = 0.1
# our name -> llama.cpp's name, type; greedy and a fixed seed unless asked otherwise
SAMPLING: dict[str, tuple[str, type]] = {
    "max_tokens": ("n_predict", int),
    "temperature": ("temperature", float),
    "seed": ("seed", int),
    "top_k": ("top_k", int),
    "top_p": ("top_p", float),
    "min_p": ("min_p", float),
    "presence_penalty": ("presence_penalty", float),
    "frequency_penalty": ("frequency_penalty", float),
    "repetition_penalty": ("repeat_penalty", float),
    "logprobs": ("n_probs", int),
}
MOST_LOGPROBS = 20


@dataclass(frozen=True)
class Asked:
    """One request, read from its tensors."""

    text: str
    stream: bool
    echo: bool
    raw: bool
    ids: bool
    logprobs: bool
    sampling: dict[str, Any]


class Sender:
    """The answering half of a request; remembers for a moment whether the client has gone."""

    def __init__(self, request: Any) -> None:
        self._sender = request.get_response_sender()
        self._asked_at = 0.0
        self._gone = False

    def cancelled(self) -> bool:
        """Tell whether the client has gone. Triton is asked ten times a second at most."""
        now = time.monotonic()
        if not self._gone and now - self._asked_at >= CANCEL_POLL_S:
            self._asked_at = now
            self._gone = self._sender.is_cancelled()
        return self._gone

    def piece(
        self,
        text: str,
        ids: tuple[int, ...] | None,
        *,
        logprobs: str | None = None,
        last: bool = False,
    ) -> None:
        """Send text, and token ids and log-probabilities where they were asked for."""
        tensors = [pb_utils.Tensor("text_output", np.array([text.encode()], dtype=object))]
        if ids is not None:
            tensors.append(pb_utils.Tensor("token_ids", np.array(ids, dtype=np.int32)))
        if logprobs is not None:
            tensors.append(
                pb_utils.Tensor("logprobs", np.array([logprobs.encode()], dtype=object))
            )
        response = pb_utils.InferenceResponse(output_tensors=tensors)
        if last:
            self._sender.send(response, flags=FINAL)
        else:
            self._sender.send(response)

    def end(self) -> None:
        """End the answer."""
        self._sender.send(flags=FINAL)

    def fail(self, message: str, *, ours: bool = False) -> None:
        """End the answer with an error; ``ours`` where the request is not to blame."""
        kinds = pb_utils.TritonError
        error = kinds(message, kinds.INTERNAL if ours else kinds.INVALID_ARG)
        self._sender.send(pb_utils.InferenceResponse(error=error), flags=FINAL)


def read_sampling(text: str) -> dict[str, Any]:
    """Return llama.cpp's sampling fields for the JSON of ``sampling_parameters``."""
    given = json.loads(text) if text else {}
    if not isinstance(given, dict):
        raise ValueError("sampling_parameters is not a JSON object")
    sampling: dict[str, Any] = {"n_predict": MAX_TOKENS, "temperature": 0.0, "seed": 0}
    for name, value in given.items():
        if name == "stop":
            sampling["stop"] = [value] if isinstance(value, str) else [str(v) for v in value]
        elif name == "ignore_eos":
            sampling["ignore_eos"] = bool(value)
        elif name in SAMPLING:
            target, kind = SAMPLING[name]
            sampling[target] = kind(value)
        else:
            raise ValueError(f"sampling_parameters: {name} is not known here")
    if sampling["n_predict"] < 1:
        raise ValueError("sampling_parameters: max_tokens must be at least 1")
    if not 0 <= sampling.get("n_probs", 0) <= MOST_LOGPROBS:
        raise ValueError(f"sampling_parameters: logprobs must be 0 to {MOST_LOGPROBS}")
    return sampling


def write_logprobs(piece: Piece) -> str:
    """Return the likeliest tokens at each position in the form of the vLLM backend."""
    return json.dumps(
        [
            {
                str(token): {"logprob": logprob, "rank": rank, "decoded_token": text}
                for rank, (token, logprob, text) in enumerate(at, start=1)
            }
            for at in piece.logprobs
        ]
    )


def _value(request: Any, name: str) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return None
    values = tensor.as_numpy().reshape(-1)
    if len(values) != 1:
        raise ValueError(f"{name} must hold one element")
    value = values[0]
    return value.decode() if isinstance(value, bytes) else value


def read_request(request: Any) -> Asked:
    """Read one request. Raises ValueError naming what is wrong with it."""
    text = _value(request, "text_input")
    if text is None:
        raise ValueError("text_input is missing")
    stream = bool(_value(request, "stream"))
    exclude = _value(request, "exclude_input_in_output")
    echo = exclude is not None and not bool(exclude)
    if stream and echo:
        raise ValueError("exclude_input_in_output=false is for whole answers only")
    logprobs = bool(_value(request, "return_logprobs"))
    if stream and logprobs:
        raise ValueError("return_logprobs is for whole answers only")
    return Asked(
        text=str(text),
        stream=stream,
        echo=echo,
        raw=bool(_value(request, "raw_prompt")),
        ids=bool(_value(request, "return_token_ids")),
        logprobs=logprobs,
        sampling=read_sampling(str(_value(request, "sampling_parameters") or "")),
    )


class TritonPythonModel:
    """One checkpoint, one worker, one request at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the checkpoint; Triton reports ready only after this returns."""
        config = json.loads(args["model_config"])
        settings = {k: v["string_value"] for k, v in config.get("parameters", {}).items()}
        self._engine = Engine(
            Path(settings.get("checkpoint_path", "/checkpoint")),
            int(settings["max_context_tokens"]),
        )
        self._in_flight, self._tokens = open_counters()
        self._queue: queue.SimpleQueue[tuple[Asked, Sender] | None] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._work, name="generate", daemon=True)
        self._worker.start()

    def execute(self, requests: list[Any]) -> None:
        """Queue the requests and return at once."""
        for request in requests:
            sender = Sender(request)
            try:
                asked = read_request(request)
            except (ValueError, TypeError, UnicodeDecodeError) as error:
                sender.fail(f"bad request: {error}")
                continue
            self._in_flight.increment(1)
            self._queue.put((asked, sender))

    def finalize(self) -> None:
        """Let the queue run dry, then end the worker."""
        self._queue.put(None)
        self._worker.join()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            asked, sender = item
            try:
                self._answer(asked, sender)
            except Cancelled:
                sender.end()
            except EngineError as error:
                sender.fail(str(error))
            except Exception as error:  # the worker outlives any request
                sender.fail(f"generation failed: {type(error).__name__}", ours=True)
            finally:
                self._in_flight.increment(-1)

    def _answer(self, asked: Asked, sender: Sender) -> None:
        if sender.cancelled():
            raise Cancelled
        prompt = asked.text if asked.raw else self._engine.chat_prompt(asked.text)
        if not asked.stream:
            answer = self._engine.whole(prompt, asked.sampling, sender.cancelled)
            self._tokens.increment(answer.tokens)
            text = asked.text + answer.text if asked.echo else answer.text
            sender.piece(
                text,
                answer.token_ids if asked.ids else None,
                logprobs=write_logprobs(answer) if asked.logprobs else None,
                last=True,
            )
            return
        pieces = self._engine.stream(prompt, asked.sampling, sender.cancelled, ids=asked.ids)
        for piece in pieces:
            self._tokens.increment(piece.tokens)
            if piece.text or asked.ids:
                sender.piece(piece.text, piece.token_ids if asked.ids else None)
        sender.end()
