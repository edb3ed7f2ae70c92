"""llama.cpp behind one small door: load a frozen GGUF checkpoint, render its template, generate.

xllamacpp's in-process calls speak the OpenAI form, which carries no token ids; llama.cpp's own
form does, so requests go to its HTTP listener. It listens on a UNIX socket in a private folder:
no port, nobody else.

Same checkpoint, same tokens: one sequence at a time, one thread, nothing reused from the request
before (no prompt cache, no context checkpoints), and no time of day in a template.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xllamacpp
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

POLL_S = 0.1
STALL_S = 300.0
ADAPTERS = "adapters"
"""The folder of a checkpoint's LoRA adapters, beside its one file of weights."""
PROMISES = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
"""What other tools make of an adapter; llama.cpp reads none of these."""


class EngineError(Exception):
    """The engine refused or failed; the text is fit for a client and never holds the prompt."""


class Cancelled(Exception):  # noqa: N818 - an outcome, not an error
    """The client went away."""


@dataclass(frozen=True)
class Piece:
    """Text that became complete, how many tokens it took, and their ids where asked for.

    ``logprobs``: at each token the likeliest ones, likeliest first: id, natural logarithm, text.
    """

    text: str
    tokens: int
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[tuple[tuple[int, float, str], ...], ...] = ()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=STALL_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """One loaded checkpoint. Generate from one thread at a time."""

    def __init__(self, checkpoint: Path, context_tokens: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="engine-")
        self._socket = str(Path(self._folder.name) / "engine.sock")
        self._server = xllamacpp.Server(_parameters(checkpoint, context_tokens, self._socket))
        properties = self._json("GET", "/props")
        template = checkpoint / "chat_template.jinja"
        source = template.read_text("utf-8") if template.is_file() else properties["chat_template"]
        self._bos = str(properties.get("bos_token", ""))
        self._eos = str(properties.get("eos_token", ""))
        self._adds_bos = bool(self.tokenize("", add_special=True))
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _raise_exception
        self._template = environment.from_string(source)

    def chat_prompt(self, text: str) -> str:
        """Return ``text`` as one user message in the checkpoint's own chat template."""
        try:
            prompt = self._template.render(
                messages=[{"role": "user", "content": text}],
                add_generation_prompt=True,
                bos_token=self._bos,
                eos_token=self._eos,
            )
        except TemplateError as error:
            kind = type(error).__name__
            raise EngineError(f"the checkpoint's chat template refused the text: {kind}") from None
        # llama.cpp adds the token itself where the checkpoint asks for it
        return prompt.removeprefix(self._bos) if self._adds_bos and self._bos else prompt

    def tokenize(self, text: str, *, add_special: bool = False) -> tuple[int, ...]:
        """Return the canonical token ids of ``text``; control tokens in it are only text."""
        body = {"content": text, "add_special": add_special, "parse_special": False}
        return tuple(self._json("POST", "/tokenize", body)["tokens"])

    def whole(self, prompt: str, sampling: dict[str, Any], cancelled: Callable[[], bool]) -> Piece:
        """Generate to the end and return everything at once."""
        body = {**sampling, "prompt": prompt, "cache_prompt": False, "return_tokens": True}
        connection, response = self._begin({**body, "stream": False}, cancelled)
        try:
            answer = json.loads(response.read())
        finally:
            connection.close()
        # A stream gives complete characters only; the whole answer is the same text
        text = answer["content"]
        if answer["stop_type"] == "limit":
            text = text.rstrip("\ufffd")
        logprobs = tuple(
            tuple((top["id"], top["logprob"], top["token"]) for top in at["top_logprobs"])
            for at in answer.get("completion_probabilities", ())
        )
        return Piece(text, len(answer["tokens"]), tuple(answer["tokens"]), logprobs)

    def stream(
        self, prompt: str, sampling: dict[str, Any], cancelled: Callable[[], bool], *, ids: bool
    ) -> Iterator[Piece]:
        """Yield pieces as their characters become complete."""
        body = {**sampling, "prompt": prompt, "cache_prompt": False, "return_tokens": True}
        connection, response = self._begin({**body, "stream": True}, cancelled)
        seen = 0
        try:
            for line in response:
                if cancelled():
                    raise Cancelled
                field, _, value = line.partition(b": ")
                if field == b"error":
                    raise EngineError(_message(value))
                if field != b"data":
                    continue
                event = json.loads(value)
                if "error" in event:
                    raise EngineError(_message(value))
                if event["stop"]:
                    return
                count = event["tokens_predicted"] - seen
                seen = event["tokens_predicted"]
                yield Piece(event["content"], count, self._ids(event, count) if ids else ())
            raise EngineError("the engine's answer broke off")
        finally:
            connection.close()  # llama.cpp ends a generation whose reader has gone

    def _ids(self, event: dict[str, Any], count: int) -> tuple[int, ...]:
        """Return the ids behind one piece: the engine names only the last of several.

        Several tokens make one piece where a character is spread over them.
        """
        if count == 1:
            return tuple(event["tokens"])
        ids = self.tokenize(event["content"])
        if len(ids) != count or ids[-1:] != tuple(event["tokens"]):
            raise EngineError(
                "the token ids of this answer cannot be told in a stream; ask with stream=false"
            )
        return ids

    def _begin(
        self, body: dict[str, Any], cancelled: Callable[[], bool]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = _UnixConnection(self._socket)
        try:
            connection.request(
                "POST", "/completion", json.dumps(body), {"Content-Type": "application/json"}
            )
            while not select.select([connection.sock], [], [], POLL_S)[0]:
                if cancelled():
                    raise Cancelled
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                raise EngineError(_message(response.read()))
        except BaseException:
            connection.close()
            raise
        return connection, response

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = _UnixConnection(self._socket)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()


def _parameters(checkpoint: Path, context_tokens: int, listen: str) -> xllamacpp.CommonParams:
    weights = sorted(checkpoint.glob("*.gguf"))
    if len(weights) != 1:
        raise EngineError(f"{checkpoint} holds {len(weights)} GGUF files, one is needed")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights[0])
    parameters.lora_adapters = [_applied(path) for path in _adapters(checkpoint)]
    parameters.n_ctx = context_tokens
    parameters.fit_params = False
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.cache_prompt = False
    parameters.cache_ram_mib = 0
    parameters.n_ctx_checkpoints = 0
    parameters.ctx_shift = False
    parameters.warmup = False
    parameters.verbosity = 1  # errors only: higher levels print prompts
    parameters.hostnames = [listen]
    parameters.n_threads_http = 2
    parameters.endpoint_slots = False
    parameters.ui = False
    return parameters


def _adapters(checkpoint: Path) -> list[Path]:
    """Return the checkpoint's LoRA adapters; all are applied, at full strength.

    A checkpoint that promises one and brings none that can be applied is not served as its base.
    """
    found = sorted(path for path in (checkpoint / ADAPTERS).rglob("*") if path.is_file())
    others = [path.name for path in found if path.suffix != ".gguf"]
    if others:
        raise EngineError(f"{ADAPTERS}/ holds {', '.join(others)}: only GGUF adapters are applied")
    promised = [name for name in PROMISES if (checkpoint / name).exists()]
    if promised and not found:
        raise EngineError(f"{promised[0]} promises an adapter, and {ADAPTERS}/ holds none in GGUF")
    return found


def _applied(adapter: Path) -> xllamacpp.CommonAdapterLoraInfo:
    applied = xllamacpp.CommonAdapterLoraInfo()
    applied.path, applied.scale = str(adapter), 1.0
    return applied


def _message(body: bytes) -> str:
    try:
        error = json.loads(body)
        error = error.get("error", error)
    except ValueError:
        return "the engine failed"
    if error.get("type") == "exceed_context_size_error":
        return (
            f"the prompt has {error['n_prompt_tokens']} tokens, "
            f"the context holds {error['n_ctx']}: nothing was truncated, nothing generated"
        )
    return f"the engine refused: {error.get('message', 'no reason given')}"


def _raise_exception(message: str) -> None:
    raise TemplateError(message)
