"""Triton's Python interface, as far as the backends use it, and the backends loaded from files."""

from __future__ import annotations

import importlib.util
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

TEMPLATES = Path(__file__).parents[3] / "templates" / "triton"
FINAL = 1


class Tensor:
    def __init__(self, name: str, array: Any) -> None:
        self.name, self.array = name, array

    def as_numpy(self) -> Any:
        return self.array


class Sender:
    """Collects what a backend answers; ``done`` is set with the final flag."""

    def __init__(self) -> None:
        self.answers: list[tuple[float, dict[str, Any]]] = []
        self.error = ""
        self.gone = False
        self.done = threading.Event()

    def send(self, response: Any = None, flags: int = 0) -> None:
        assert not self.done.is_set(), "an answer after the final one"
        if response is not None and response.error is not None:
            self.error = response.error.message
        elif response is not None:
            self.answers.append((time.monotonic(), response.values))
        if flags & FINAL:
            self.done.set()

    def is_cancelled(self) -> bool:
        return self.gone

    def wait(self) -> Sender:
        assert self.done.wait(10), "no final answer"
        return self

    @property
    def texts(self) -> list[str]:
        return [values["text_output"][0].decode() for _, values in self.answers]

    @property
    def ids(self) -> list[int]:
        return [int(i) for _, values in self.answers for i in values.get("token_ids", ())]


class Request:
    def __init__(self, **inputs: Any) -> None:
        self.sender = Sender()
        self.inputs = {
            name: Tensor(name, np.array([v.encode() if isinstance(v, str) else v], dtype=object))
            for name, v in inputs.items()
        }

    def get_response_sender(self) -> Sender:
        return self.sender


class Response:
    def __init__(self, output_tensors: list[Tensor] | None = None, error: Any = None) -> None:
        self.values = {t.name: list(t.array) for t in output_tensors or []}
        self.error = error


class Error:
    INVALID_ARG, INTERNAL = 3, 1

    def __init__(self, message: str, code: int = 1) -> None:
        self.message, self.code = message, code


class Metrics(Mapping[str, int]):
    """The counters' file, read as permafrost-node reads it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _values(self) -> dict[str, int]:
        in_flight, tokens = struct.unpack("<qq", self._file.read_bytes())
        return {"permafrost_in_flight": in_flight, "permafrost_tokens_total": tokens}

    def __getitem__(self, name: str) -> int:
        return self._values()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())


@pytest.fixture
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Metrics:
    monkeypatch.setenv("PERMAFROST_COUNTERS", str(tmp_path / "counters"))
    monkeypatch.syspath_prepend(TEMPLATES / "shared")
    return Metrics(tmp_path / "counters")


@pytest.fixture
def triton_interface(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    interface = SimpleNamespace(
        TRITONSERVER_RESPONSE_COMPLETE_FINAL=FINAL,
        Tensor=Tensor,
        InferenceResponse=Response,
        TritonError=Error,
        get_input_tensor_by_name=lambda request, name: request.inputs.get(name),
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", interface)
    return interface


@pytest.fixture
def load_backend(triton_interface: SimpleNamespace) -> Iterator[Callable[[str], ModuleType]]:
    def load(name: str) -> ModuleType:
        path = TEMPLATES / name / "model.py"
        spec = importlib.util.spec_from_file_location(f"backend_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    yield load
    for name in ("backend_pulse", "backend_llamacpp"):
        sys.modules.pop(name, None)
