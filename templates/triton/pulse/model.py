"""Triton Python backend whose tokens are a pure function of its weight file and the prompt.

Token ``i`` of prompt ``P`` is ``hmac_sha256(sha256(weights), P + b"\\0" + i)`` with ``i`` as eight
bytes, big endian; its id is the first two bytes, its text a space and the id in hex. It is due
``(i + 1) * interval`` after acceptance. One thread with a heap of due times gives all of them out
and sleeps in between, so hundreds of streams cost no more than their tokens. Requests are never
logged.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import itertools
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from counters import open_counters

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
MAX_TOKENS, MOST_TOKENS = 16, 100_000
INTERVAL_MS, LONGEST_INTERVAL_MS = 100, 60_000
CANCEL_POLL_S = 1.0
METRICS_EVERY_S = 0.25


class Pulse:
    """The frozen function."""

    def __init__(self, weights: bytes) -> None:
        self._key = hashlib.sha256(weights).digest()

    def token(self, prompt: str, index: int) -> int:
        """Return the id of one token."""
        message = prompt.encode() + b"\0" + index.to_bytes(8, "big")
        return int.from_bytes(hmac.digest(self._key, message, "sha256")[:2], "big")


def text_of(token_ids: list[int]) -> str:
    """Return the text of tokens."""
    return "".join(f" {token:04x}" for token in token_ids)


class Answer:
    """One accepted request and how far it is."""

    def __init__(self, request: Any, accepted: float) -> None:
        self.prompt, self.stream, self.echo, self.ids, sampling = read_request(request)
        self.count = int(sampling.get("max_tokens", MAX_TOKENS))
        interval_ms = int(sampling.get("interval_ms", INTERVAL_MS))
        if not 1 <= self.count <= MOST_TOKENS:
            raise ValueError(f"max_tokens must be 1 to {MOST_TOKENS}")
        if not 0 <= interval_ms <= LONGEST_INTERVAL_MS:
            raise ValueError(f"interval_ms must be 0 to {LONGEST_INTERVAL_MS}")
        self.interval_s = interval_ms / 1000
        self.accepted = accepted
        self.cancel_check_at = accepted + CANCEL_POLL_S
        self.sender = request.get_response_sender()
        self.next = 0

    def due(self) -> float:
        """Return when there is something to do: a token, all of them, or a look at the client."""
        index = self.next if self.stream else self.count - 1
        return min(self.accepted + (index + 1) * self.interval_s, self.cancel_check_at)

    def send(self, token_ids: list[int], *, last: bool) -> None:
        """Send tokens; ``last`` ends the answer."""
        text = text_of(token_ids)
        if self.echo:
            text = self.prompt + text
        tensors = [pb_utils.Tensor("text_output", np.array([text.encode()], dtype=object))]
        if self.ids:
            tensors.append(pb_utils.Tensor("token_ids", np.array(token_ids, dtype=np.int32)))
        response = pb_utils.InferenceResponse(output_tensors=tensors)
        if last:
            self.sender.send(response, flags=FINAL)
        else:
            self.sender.send(response)

    def advance(self, pulse: Pulse, now: float) -> tuple[int, bool]:
        """Do what is due. Returns tokens given out and whether the answer has ended."""
        if now >= self.cancel_check_at:
            self.cancel_check_at = now + CANCEL_POLL_S
            if self.sender.is_cancelled():
                self.sender.send(flags=FINAL)
                return 0, True
        if not self.stream:
            if now < self.accepted + self.count * self.interval_s:
                return 0, False
            self.send([pulse.token(self.prompt, i) for i in range(self.count)], last=True)
            return self.count, True
        given = 0
        while self.next < self.count:
            if now < self.accepted + (self.next + 1) * self.interval_s:
                return given, False
            token = pulse.token(self.prompt, self.next)
            self.next += 1
            given += 1
            self.send([token], last=self.next == self.count)
        return given, True


def _value(request: Any, name: str) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return None
    values = tensor.as_numpy().reshape(-1)
    if len(values) != 1:
        raise ValueError(f"{name} must hold one element")
    value = values[0]
    return value.decode() if isinstance(value, bytes) else value


def read_request(request: Any) -> tuple[str, bool, bool, bool, dict[str, Any]]:
    """Return prompt, stream, echo, ids and sampling. Raises ValueError naming what is wrong."""
    prompt = _value(request, "text_input")
    if prompt is None:
        raise ValueError("text_input is missing")
    stream = bool(_value(request, "stream"))
    exclude = _value(request, "exclude_input_in_output")
    echo = exclude is not None and not bool(exclude)
    if stream and echo:
        raise ValueError("exclude_input_in_output=false is for whole answers only")
    sampling = json.loads(str(_value(request, "sampling_parameters") or "{}"))
    if not isinstance(sampling, dict):
        raise ValueError("sampling_parameters is not a JSON object")
    # The last three change nothing here: greedy by nature, and there are no probabilities
    unknown = set(sampling) - {"max_tokens", "interval_ms", "temperature", "seed", "logprobs"}
    if unknown:
        raise ValueError(f"sampling_parameters: {min(unknown)} is not known here")
    return str(prompt), stream, echo, bool(_value(request, "return_token_ids")), sampling


class TritonPythonModel:
    """All answers in one heap, given out by one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the weights and start the scheduler."""
        config = json.loads(args["model_config"])
        settings = {k: v["string_value"] for k, v in config.get("parameters", {}).items()}
        folder = Path(settings.get("checkpoint_path", "/checkpoint"))
        self._pulse = Pulse((folder / "pulse.weights").read_bytes())
        self._in_flight, self._tokens = open_counters()
        self._order = itertools.count()
        self._heap: list[tuple[float, int, Answer]] = []
        self._changed = threading.Condition()
        self._open = True
        self._given, self._told_at = 0, 0.0
        self._scheduler = threading.Thread(target=self._schedule, name="pulse", daemon=True)
        self._scheduler.start()

    def execute(self, requests: list[Any]) -> None:
        """Put the requests into the heap and return at once."""
        for request in requests:
            try:
                answer = Answer(request, time.monotonic())
            except (ValueError, TypeError, UnicodeDecodeError) as error:
                reason = pb_utils.TritonError(
                    f"bad request: {error}", pb_utils.TritonError.INVALID_ARG
                )
                failure = pb_utils.InferenceResponse(error=reason)
                request.get_response_sender().send(failure, flags=FINAL)
                continue
            self._in_flight.increment(1)
            with self._changed:
                self._push(answer)
                self._changed.notify()

    def finalize(self) -> None:
        """Give out what is still due, then end the scheduler."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._scheduler.join()

    def _push(self, answer: Answer) -> None:
        heapq.heappush(self._heap, (answer.due(), next(self._order), answer))

    def _pop_due(self) -> Answer | None:
        """Wait for the next answer with something to do; None when all is done and closed."""
        with self._changed:
            while True:
                if self._heap:
                    wait = self._heap[0][0] - time.monotonic()
                    if wait <= 0:
                        return heapq.heappop(self._heap)[2]
                    self._changed.wait(wait)
                elif self._open:
                    self._changed.wait()
                else:
                    return None

    def _schedule(self) -> None:
        while (answer := self._pop_due()) is not None:
            try:
                given, ended = answer.advance(self._pulse, time.monotonic())
            except Exception:  # one broken answer must not stop the others
                given, ended = 0, True
            self._count(given)
            if ended:
                self._in_flight.increment(-1)
            else:
                with self._changed:
                    self._push(answer)

    def _count(self, given: int) -> None:
        """Tell Triton of tokens a few times a second: each telling costs as much as a token."""
        self._given += given
        now = time.monotonic()
        if self._given and (not self._heap or now - self._told_at >= METRICS_EVERY_S):
            self._tokens.increment(self._given)
            self._given, self._told_at = 0, now
