"""The engine's door to llama.cpp, over a llama.cpp that is written down here."""

from __future__ import annotations

import http.server
import importlib.util
import json
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.unit.backends.conftest import TEMPLATES


class FakeLlama:
    """What llama.cpp answers: pieces as (text, last token's id, tokens so far)."""

    def __init__(self) -> None:
        self.properties = {"chat_template": "{{ messages[0].content }}", "bos_token": "<s>"}
        self.pieces: list[tuple[str, int, int]] = [("Par", 5, 1), ("is", 6, 2)]
        self.answer: dict[str, Any] = {"content": "Paris", "tokens": [5, 6], "stop_type": "eos"}
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self.error_in_stream = ""
        self.canonical: dict[str, list[int]] = {"": []}
        self.asked: list[dict[str, Any]] = []
        self.hold = threading.Event()
        self.hold.set()
        self.broken_off = threading.Event()


def handler_of(llama: FakeLlama) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            return

        def address_string(self) -> str:
            return "local"

        def give(self, body: Any, status: int = 200) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.give(llama.properties)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/tokenize":
                self.give({"tokens": llama.canonical[body["content"]]})
                return
            llama.asked.append(body)
            llama.hold.wait(10)
            if llama.refusal is not None:
                self.give({"error": llama.refusal[1]}, llama.refusal[0])
            elif not body["stream"]:
                self.give(llama.answer)
            else:
                self.stream()

        def stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            events = [
                {"content": text, "tokens": [last], "tokens_predicted": so_far, "stop": False}
                for text, last, so_far in llama.pieces
            ]
            try:
                for event in events:
                    self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                    self.wfile.flush()
                if llama.error_in_stream:
                    error = json.dumps({"message": llama.error_in_stream})
                    self.wfile.write(f"error: {error}\n\n".encode())
                elif not llama.broken_off.is_set():
                    self.wfile.write(b'data: {"content": "", "stop": true}\n\n')
            except BrokenPipeError:
                llama.broken_off.set()

    return Handler


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def llama() -> FakeLlama:
    return FakeLlama()


@pytest.fixture
def module(llama: FakeLlama, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    servers: list[UnixServer] = []

    def start(parameters: Any) -> None:
        server = UnixServer(parameters.hostnames[0], handler_of(llama))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)

    def parameters() -> SimpleNamespace:
        return SimpleNamespace(
            model=SimpleNamespace(),
            cpuparams=SimpleNamespace(),
            cpuparams_batch=SimpleNamespace(),
        )

    fake = SimpleNamespace(
        Server=start, CommonParams=parameters, CommonAdapterLoraInfo=SimpleNamespace
    )
    monkeypatch.setitem(sys.modules, "xllamacpp", fake)
    spec = importlib.util.spec_from_file_location(
        "backend_engine", TEMPLATES / "llamacpp" / "engine.py"
    )
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "backend_engine", loaded)
    spec.loader.exec_module(loaded)
    yield loaded
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def load(module: ModuleType, tmp_path: Path) -> Callable[[], Any]:
    (tmp_path / "model.gguf").write_bytes(b"")
    return lambda: module.Engine(tmp_path, 512)


def test_adapters_are_applied_and_none_is_left_out(
    load: Callable[[], Any], module: ModuleType, tmp_path: Path
) -> None:
    """What promises an adapter is not served as its base."""
    folder = tmp_path / "adapters"
    folder.mkdir()
    for name in ("b.gguf", "a.gguf"):
        (folder / name).write_bytes(b"")
    (tmp_path / "adapter_config.json").write_text("{}")
    given = module._parameters(tmp_path, 512, "socket").lora_adapters
    assert [(Path(a.path).name, a.scale) for a in given] == [("a.gguf", 1.0), ("b.gguf", 1.0)]
    (folder / "c.safetensors").write_bytes(b"")
    (tmp_path / "model.gguf").write_bytes(b"")
    with pytest.raises(module.EngineError, match=r"c\.safetensors"):
        load()
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(module.EngineError, match=r"adapter_config\.json promises an adapter"):
        load()
    (tmp_path / "adapter_config.json").unlink()
    assert module._parameters(tmp_path, 512, "socket").lora_adapters == []


def stay() -> bool:
    return False


def pieces(engine: Any, *, ids: bool = True) -> list[tuple[str, tuple[int, ...]]]:
    return [(p.text, p.token_ids) for p in engine.stream("p", {}, stay, ids=ids)]


def test_nothing_is_reused_from_the_request_before(
    load: Callable[[], Any], llama: FakeLlama
) -> None:
    engine = load()
    engine.whole("p", {"seed": 0}, stay)
    pieces(engine)
    assert [r["cache_prompt"] for r in llama.asked] == [False, False]
    assert llama.asked[0]["seed"] == 0


def test_the_template_of_the_model_or_of_the_file_beside_it(
    load: Callable[[], Any], tmp_path: Path
) -> None:
    assert load().chat_prompt("hi") == "hi"
    (tmp_path / "chat_template.jinja").write_text(
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %} [assistant]{% endif %}\n"
    )
    assert load().chat_prompt("hi") == "[user] hi [assistant]"


def test_the_beginning_token_is_never_doubled(load: Callable[[], Any], llama: FakeLlama) -> None:
    llama.properties["chat_template"] = "{{ bos_token }}{{ messages[0].content }}"
    assert load().chat_prompt("hi") == "<s>hi"
    llama.canonical[""] = [1]
    assert load().chat_prompt("hi") == "hi"


def test_a_template_that_refuses_is_told_without_the_text(
    load: Callable[[], Any], module: ModuleType, llama: FakeLlama
) -> None:
    llama.properties["chat_template"] = "{{ raise_exception(messages[0].content) }}"
    with pytest.raises(module.EngineError) as caught:
        load().chat_prompt("private")
    assert "private" not in str(caught.value)


def test_a_template_reaches_nothing_outside(
    load: Callable[[], Any], module: ModuleType, llama: FakeLlama
) -> None:
    llama.properties["chat_template"] = "{{ messages.__class__.__mro__ }}"
    with pytest.raises(module.EngineError):
        load().chat_prompt("hi")


def test_a_character_of_several_tokens_is_one_piece_with_all_ids(
    load: Callable[[], Any], llama: FakeLlama
) -> None:
    llama.pieces = [("a", 5, 1), ("🎉", 227, 4)]
    llama.canonical["🎉"] = [10813, 232, 227]
    assert pieces(load()) == [("a", (5,)), ("🎉", (10813, 232, 227))]
    assert pieces(load(), ids=False) == [("a", ()), ("🎉", ())]


@pytest.mark.parametrize("canonical", [[232, 227], [1, 2, 3]])
def test_ids_that_cannot_be_told_are_not_guessed(
    load: Callable[[], Any], module: ModuleType, llama: FakeLlama, canonical: list[int]
) -> None:
    llama.pieces = [("🎉", 227, 3)]
    llama.canonical["🎉"] = canonical
    with pytest.raises(module.EngineError, match="cannot be told in a stream"):
        pieces(load())


@pytest.mark.parametrize(("stop", "text"), [("limit", "ok"), ("eos", "ok\ufffd")])
def test_half_a_character_at_the_limit_is_left_out_as_in_a_stream(
    load: Callable[[], Any], llama: FakeLlama, stop: str, text: str
) -> None:
    llama.answer = {"content": "ok\ufffd", "tokens": [1, 2], "stop_type": stop}
    answer = load().whole("p", {}, stay)
    assert (answer.text, answer.token_ids, answer.tokens) == (text, (1, 2), 2)


def test_a_prompt_that_is_too_long_is_refused_in_numbers(
    load: Callable[[], Any], module: ModuleType, llama: FakeLlama
) -> None:
    kind = "exceed_context_size_error"
    llama.refusal = (400, {"type": kind, "n_prompt_tokens": 900, "n_ctx": 512, "message": "x"})
    with pytest.raises(module.EngineError, match=r"900 tokens.*holds 512.*nothing was truncated"):
        load().whole("p", {}, stay)


def test_an_error_in_the_stream_ends_it(
    load: Callable[[], Any], module: ModuleType, llama: FakeLlama
) -> None:
    llama.error_in_stream = "out of memory"
    with pytest.raises(module.EngineError, match="out of memory"):
        pieces(load())


def test_a_stream_that_breaks_off_is_no_answer(
    load: Callable[[], Any], module: ModuleType, llama: FakeLlama
) -> None:
    llama.broken_off.set()
    with pytest.raises(module.EngineError, match="broke off"):
        pieces(load())


def test_cancelling_is_noticed_before_the_first_token(
    load: Callable[[], Any], module: ModuleType, llama: FakeLlama
) -> None:
    engine = load()
    llama.hold.clear()
    start = time.monotonic()
    with pytest.raises(module.Cancelled):
        engine.whole("p", {}, lambda: True)
    assert time.monotonic() - start < 5
    llama.hold.set()


def test_cancelling_is_noticed_between_pieces(
    load: Callable[[], Any], module: ModuleType, llama: FakeLlama
) -> None:
    gone = iter([False, False, True, True, True])
    stream = load().stream("p", {}, lambda: next(gone), ids=False)
    with pytest.raises(module.Cancelled):
        list(stream)


@pytest.mark.parametrize("count", [0, 2])
def test_a_checkpoint_holds_exactly_one_model(
    module: ModuleType, tmp_path: Path, count: int
) -> None:
    for number in range(count):
        (tmp_path / f"{number}.gguf").write_bytes(b"")
    with pytest.raises(module.EngineError, match=f"{count} GGUF files"):
        module.Engine(tmp_path, 512)
