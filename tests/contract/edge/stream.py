"""One gRPC stream that stays open, with questions now and then, while the edge is reloaded."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.contract.edge.front import OWN, PORT, Front
from tests.contract.edge.planted import prepared
from tests.contract.fingerprint.server import served

HTTP, GRPC = 8000, 8001
SAMPLING = json.dumps({"max_tokens": 4, "temperature": 0})


@dataclass(frozen=True)
class Talk:
    """How long a stream is used, how often, and when the edge is changed meanwhile."""

    lasts_s: float
    every_s: float
    changes_at_s: tuple[float, ...]


SHORT = Talk(90.0, 5.0, (30.0, 60.0))
HOUR = Talk(3600.0, 10.0, (300.0, 900.0, 1500.0, 2100.0, 2700.0, 3300.0))
"""After the first reload the stream is an old worker's for 55 minutes."""


def ended_early(text: str) -> str:
    """Return the edge's configuration with old workers that are ended while they are in use."""
    return re.sub(r"hard-stop-after \w+", "hard-stop-after 20s", text)


def stream(
    folder: Path,
    talk: Talk,
    *,
    graceful: bool = True,
    changed: Callable[[str], str] | None = None,
) -> dict[str, Any]:
    """Keep a stream open over reloads; one that is not graceful starts the edge anew instead."""
    tree, pinned, _ = prepared(folder)
    with (
        served(tree, folder / "server", pinned, http=HTTP, grpc=GRPC),
        Front(folder / "front", changed, behind=(8010, 9100)) as front,
    ):
        credentials = grpc.ssl_channel_credentials((folder / "front/pki/ca.pem").read_bytes())
        with grpc.secure_channel(f"{OWN}:{PORT}", credentials) as channel:
            changing = threading.Thread(target=_change, args=(front, talk, graceful))
            changing.start()
            found = _talk(service_pb2_grpc.GRPCInferenceServiceStub(channel), talk)
            changing.join()
    return found


def _change(front: Front, talk: Talk, graceful: bool) -> None:
    began = time.monotonic()
    for at in talk.changes_at_s:
        time.sleep(max(0.0, began + at - time.monotonic()))
        front.reload() if graceful else front.start_anew()


def _talk(stub: Any, talk: Talk) -> dict[str, Any]:
    sent, answers, error = [], [], ""
    began = time.monotonic()

    def questions() -> Iterator[Any]:
        while time.monotonic() < began + talk.lasts_s:
            sent.append(time.monotonic())
            yield _question()
            time.sleep(talk.every_s)

    try:
        for message in stub.ModelStreamInfer(questions(), timeout=talk.lasts_s + 30):
            answers.append(
                message.error_message or str(message.infer_response.raw_output_contents)
            )
    except grpc.RpcError as failed:
        error = f"{failed.code().name}: {failed.details()}"
    return {
        "sent": len(sent),
        "answers": len(answers),
        "different": len(set(answers)),
        "error": error,
        "lasted_s": time.monotonic() - began,
    }


def _question() -> Any:
    message = service_pb2.ModelInferRequest(model_name="chat")
    for name, value in (("text_input", "Name a river."), ("sampling_parameters", SAMPLING)):
        tensor = message.inputs.add(name=name, datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(value.encode())
    return message
