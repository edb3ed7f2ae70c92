"""The node's Triton, asked over the loopback address. Every call has a deadline."""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import backend
from .settings import SlotPorts

READY_S = 0.6
CALL_S = 1.2
_LARGEST_ANSWER = 8 << 20
_SAMPLE = re.compile(r'^(\w+)\{[^}]*model="([^"]*)"[^}]*\} (\S+)$', re.MULTILINE)


class TritonError(Exception):
    """Triton did not answer as it should.

    ``gone``: nothing listens on its port. ``silent``: it took the call and said nothing.
    """

    def __init__(self, message: str, *, gone: bool = False, silent: bool = False) -> None:
        super().__init__(message)
        self.gone = gone
        self.silent = silent


@dataclass(frozen=True)
class Load:
    """What Triton works on: requests queued, requests being answered, tokens given so far."""

    pending: int
    executing: int
    tokens: int

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""
        return self.pending + self.executing == 0


@dataclass(frozen=True)
class Answer:
    """One whole answer; ``top_logprobs`` are the likeliest tokens at each position."""

    token_ids: tuple[int, ...]
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        told: dict[str, Any] = {"token_ids": list(self.token_ids)}
        if self.top_logprobs:
            told["top_logprobs"] = [[list(pair) for pair in at] for at in self.top_logprobs]
        return told


class Triton:
    """One Triton process with one model."""

    def __init__(
        self, ports: SlotPorts, model: str, counters: Path, *, gives_ids: bool = True
    ) -> None:
        """``gives_ids``: false of a backend without token ids; then they are read elsewhere."""
        self._ports = ports
        self._model = model
        self._counters = counters
        self._gives_ids = gives_ids

    def check_ready(self) -> None:
        """Raise TritonError unless the model says that it is ready."""
        self._call(self._ports.http, "GET", f"/v2/models/{self._model}/ready", READY_S)

    def checkpoint(self) -> str:
        """Return the digest in the configuration that Triton has loaded."""
        path = f"/v2/models/{self._model}/config"
        config = json.loads(self._call(self._ports.http, "GET", path, CALL_S))
        value = config.get("parameters", {}).get("checkpoint", {}).get("string_value", "")
        return str(value)

    def load(self) -> Load:
        """Return what Triton works on."""
        text = self._call(self._ports.metrics, "GET", "/metrics", CALL_S).decode()
        found = {
            name: float(value)
            for name, model, value in _SAMPLE.findall(text)
            if model == self._model
        }
        executing, tokens = self._counted()
        pending = int(found.get("nv_inference_pending_request_count", 0))
        return Load(pending=pending, executing=executing, tokens=tokens)

    def backend_has_ended(self) -> bool:
        """Whether the model's backend is dead, which Triton itself does not notice."""
        return backend.has_ended(self._counters)

    def tokens(self) -> int:
        """Return how many tokens were given, without a call to Triton."""
        return self._counted()[1]

    def _counted(self) -> tuple[int, int]:
        """Return requests in flight and tokens, from the file that the backend has mapped."""
        try:
            return backend.counted(self._counters)
        except ValueError as error:
            raise TritonError(str(error)) from error

    def generate(
        self, text_input: str, sampling: dict[str, Any], deadline_s: float
    ) -> tuple[int, ...]:
        """Return the token ids of one whole answer."""
        return self.answer(text_input, sampling, deadline_s).token_ids

    def answer(
        self, text_input: str, sampling: dict[str, Any], deadline_s: float, top_k: int = 0
    ) -> Answer:
        """Return one whole answer, with the ``top_k`` likeliest tokens at each position.

        A backend that has no probabilities leaves them out. One that gives no token ids (vLLM's)
        gives the likeliest token at each position, and asked greedily that is the one it chose.
        """
        body: dict[str, Any] = {"text_input": text_input}
        if self._gives_ids:
            body["return_token_ids"] = True
        else:
            sampling = {"temperature": 0, **sampling}
        if top_k or not self._gives_ids:
            body["return_logprobs"] = True
            sampling = {**sampling, "logprobs": max(top_k, 1)}
        body["sampling_parameters"] = json.dumps(sampling)
        path = f"/v2/models/{self._model}/generate"
        told = json.loads(self._call(self._ports.http, "POST", path, deadline_s, body))
        logprobs = _logprobs(told.get("logprobs"))
        if not self._gives_ids:
            if not logprobs or not all(logprobs):
                raise TritonError("no log-probabilities came, so no token is known")
            return Answer(tuple(at[0][0] for at in logprobs), logprobs if top_k else ())
        ids = told.get("token_ids", [])
        tokens = tuple(ids) if isinstance(ids, list) else (int(ids),)
        return Answer(tokens, logprobs)

    def _call(
        self, port: int, method: str, path: str, deadline_s: float, body: object = None
    ) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=deadline_s)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read(_LARGEST_ANSWER)
        except ConnectionRefusedError as error:
            raise TritonError("Triton does not listen", gone=True) from error
        except (OSError, http.client.HTTPException) as error:
            silent = isinstance(error, TimeoutError)
            why = "in time" if silent else f"({type(error).__name__})"
            raise TritonError(f"Triton did not answer {path} {why}", silent=silent) from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            # Only our own words: an answer could hold what a client wrote
            raise TritonError(f"Triton answered {response.status} to {path}")
        return content


def _logprobs(told: Any) -> tuple[tuple[tuple[int, float], ...], ...]:
    """Return the log-probabilities of an answer in the form of the vLLM backend."""
    if not told or told == "null":
        return ()
    return tuple(
        tuple(
            (int(token), float(about["logprob"]))
            for token, about in sorted(at.items(), key=lambda item: int(item[1]["rank"]))
        )
        for at in json.loads(told)
    )
