"""One gRPC stream that stays open, with questions now and then, while the edge is reloaded."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.contract.edge.front import OWN, PORT, Front
from tests.contract.edge.planted import prepared
from tests.contract.fingerprint.server import served

HTTP, GRPC = 8000, 8001
LASTS_S, EVERY_S = 90.0, 5.0
CHANGES_AT_S = (30.0, 60.0)
SAMPLING = json.dumps({"max_tokens": 4, "temperature": 0})


def stream(folder: Path, *, graceful: bool) -> dict[str, Any]:
    """Keep a stream open over two reloads; the control starts the edge anew instead."""
    tree, pinned, _ = prepared(folder)
    with (
        served(tree, folder / "server", pinned, http=HTTP, grpc=GRPC),
        Front(folder / "front", behind=(8010, 9100)) as front,
    ):
        credentials = grpc.ssl_channel_credentials((folder / "front/pki/ca.pem").read_bytes())
        with grpc.secure_channel(f"{OWN}:{PORT}", credentials) as channel:
            changing = threading.Thread(target=_change, args=(front, graceful))
            changing.start()
            found = _talk(service_pb2_grpc.GRPCInferenceServiceStub(channel))
            changing.join()
    return found


def _change(front: Front, graceful: bool) -> None:
    began = time.monotonic()
    for at in CHANGES_AT_S:
        time.sleep(max(0.0, began + at - time.monotonic()))
        front.reload() if graceful else front.start_anew()


def _talk(stub: Any) -> dict[str, Any]:
    sent, answers, error = [], [], ""
    began = time.monotonic()

    def questions() -> Iterator[Any]:
        while time.monotonic() < began + LASTS_S:
            sent.append(time.monotonic())
            yield _question()
            time.sleep(EVERY_S)

    try:
        for message in stub.ModelStreamInfer(questions(), timeout=LASTS_S + 30):
            answers.append(
                message.error_message or str(message.infer_response.raw_output_contents)
            )
    except grpc.RpcError as failed:
        error = str(failed.code().name)
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
