"""A gRPC stream whose client asks when it is told to, and keeps it open in between."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

SHORT = {"max_tokens": 4, "temperature": 0}


def question(sampling: dict[str, Any], model: str = "chat") -> Any:
    """Return a message that asks a model for an answer as a whole."""
    message = service_pb2.ModelInferRequest(model_name=model)
    for name, value in (
        ("text_input", "Name a river."),
        ("sampling_parameters", json.dumps(sampling)),
    ):
        tensor = message.inputs.add(name=name, datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(value.encode())
    return message


class Conversation:
    """One stream: ``answers`` so far, and ``ended``: empty, OK, or the code of what ended it."""

    def __init__(self, stub: Any) -> None:
        self._questions: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._call = stub.ModelStreamInfer(iter(self._questions.get, None))
        self.answers: list[Any] = []
        self.ended = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def replica(self) -> str:
        """Who answers; known with the first answer."""
        return dict(self._call.initial_metadata()).get("permafrost-replica", "")

    def ask(self, message: Any) -> None:
        """Send a question and go on."""
        self._questions.put(message)

    def converse(self, message: Any) -> None:
        """Send a question and wait for its answer, or for the end of the stream."""
        before = len(self.answers)
        self.ask(message)
        until(lambda: len(self.answers) > before or bool(self.ended), 120)

    def close(self) -> None:
        """Ask nothing any more."""
        self._questions.put(None)

    def finish(self) -> str:
        """Wait until it has ended; return how."""
        self._reader.join(120)
        return self.ended

    def _read(self) -> None:
        try:
            for message in self._call:
                self.answers.append(message)
            self.ended = "OK"
        except grpc.RpcError as error:
            self.ended = str(error.code().name)


def until(condition: Callable[[], bool], deadline_s: float) -> None:
    """Wait for a condition; fail at the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s"
        time.sleep(0.02)
