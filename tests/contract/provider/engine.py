"""The engine's side of the provider protocol: start a plugin, and ask it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf import empty_pb2
from google.rpc import status_pb2
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto import provider_pb2_grpc

from lab.provider.values import from_struct, to_struct

OPTIONS = [
    ("grpc.max_receive_message_length", 1 << 28),
    ("grpc.max_send_message_length", 1 << 28),
    ("grpc.max_metadata_size", 1 << 22),
    ("grpc.absolute_max_metadata_size", 1 << 23),
]
SHORT_S, LONG_S = 120, 580
SEED = b"\x01" * 32
ANSWERS_SECRETS = ("acceptSecrets", "supportsPreview", "acceptResources", "acceptOutputs")

Answer = tuple[dict[str, Any] | None, dict[str, Any] | None]


class Plugin:
    """One running plugin; questions and answers are plain values."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port.isdigit():
            self._process.kill()
            raise RuntimeError(f"the plugin printed no port: {port!r}")
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS)
        grpc.channel_ready_future(self._channel).result(timeout=30)
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(5)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def cancel(self) -> None:
        """Ask every operation to stop, as the engine does when its user gives up."""
        self._stub.Cancel(empty_pb2.Empty(), timeout=SHORT_S)

    def ask(self, method: str, q: dict[str, Any]) -> Answer:
        """Return response and error of one question."""
        try:
            return getattr(self, f"_{method}")(urn_of(q), q), None
        except grpc.RpcError as e:
            return None, error_of(e)

    def _GetPluginInfo(self, urn: str, q: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"version": self._stub.GetPluginInfo(empty_pb2.Empty(), timeout=SHORT_S).version}

    def _CheckConfig(self, urn: str, q: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        request = proto.CheckRequest(
            urn=urn, olds=to_struct(q.get("olds") or {}), news=to_struct(q["news"])
        )
        return checked(self._stub.CheckConfig(request, timeout=SHORT_S))

    def _Configure(self, urn: str, q: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        flat = {}
        for key, value in q["news"].items():
            plain = value["value"] if isinstance(value, dict) else value
            flat[f"vsphere:config:{key}"] = plain if isinstance(plain, str) else json.dumps(plain)
        request = proto.ConfigureRequest(
            variables=flat,
            args=to_struct(q["news"]),
            acceptSecrets=True,
            acceptResources=True,
            sends_old_inputs=True,
            sends_old_inputs_to_delete=True,
        )
        answer = self._stub.Configure(request, timeout=SHORT_S)
        return {key: getattr(answer, key) for key in ANSWERS_SECRETS}

    def _DiffConfig(self, urn: str, q: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return difference(self._stub.DiffConfig(diff_request(urn, q), timeout=SHORT_S))

    def _Invoke(self, urn: str, q: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        request = proto.InvokeRequest(tok=q["token"], args=to_struct(q["news"]))
        answer = self._stub.Invoke(request, timeout=SHORT_S)
        return {"return": from_struct(getattr(answer, "return")), "failures": failures(answer)}

    def _Check(self, urn: str, q: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        request = proto.CheckRequest(
            urn=urn,
            olds=to_struct(q.get("olds") or {}),
            news=to_struct(q["news"]),
            randomSeed=SEED,
        )
        return checked(self._stub.Check(request, timeout=SHORT_S))

    def _Diff(self, urn: str, q: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return difference(self._stub.Diff(diff_request(urn, q), timeout=SHORT_S))

    def _Create(self, urn: str, q: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        request = proto.CreateRequest(
            urn=urn, properties=to_struct(q["news"]), preview=q.get("preview", False)
        )
        answer = self._stub.Create(request, timeout=LONG_S)
        return {"id": answer.id, "properties": from_struct(answer.properties)}

    def _Update(self, urn: str, q: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        request = proto.UpdateRequest(
            id=q["id"],
            urn=urn,
            olds=to_struct(q["olds"]),
            news=to_struct(q["news"]),
            old_inputs=to_struct(q.get("oldInputs") or {}),
            preview=q.get("preview", False),
            ignoreChanges=q.get("ignoreChanges", []),
        )
        return {"properties": from_struct(self._stub.Update(request, timeout=LONG_S).properties)}

    def _Read(self, urn: str, q: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        request = proto.ReadRequest(
            id=q["id"],
            urn=urn,
            properties=to_struct(q.get("properties") or {}),
            inputs=to_struct(q.get("inputs") or {}),
        )
        answer = self._stub.Read(request, timeout=SHORT_S)
        return {
            "id": answer.id,
            "properties": from_struct(answer.properties),
            "inputs": from_struct(answer.inputs),
        }

    def _Delete(self, urn: str, q: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        request = proto.DeleteRequest(
            id=q["id"],
            urn=urn,
            properties=to_struct(q["olds"]),
            old_inputs=to_struct(q.get("oldInputs") or {}),
        )
        self._stub.Delete(request, timeout=LONG_S)
        return {}


def urn_of(q: dict[str, Any]) -> str:
    """Return the engine's name for what a question is about."""
    kind = q.get("type", "pulumi:providers:vsphere")
    return f"urn:pulumi:lab::contract::{kind}::{q.get('resource', 'lab')}"


def diff_request(urn: str, q: dict[str, Any]) -> proto.DiffRequest:
    """Return the request of a Diff or DiffConfig."""
    return proto.DiffRequest(
        id=q.get("id", ""),
        urn=urn,
        olds=to_struct(q["olds"]),
        news=to_struct(q["news"]),
        old_inputs=to_struct(q.get("oldInputs") or {}),
        ignoreChanges=q.get("ignoreChanges", []),
    )


def checked(answer: Any) -> dict[str, Any]:
    """Return the plain form of a check's answer."""
    return {"inputs": from_struct(answer.inputs), "failures": failures(answer)}


def failures(answer: Any) -> list[dict[str, str]]:
    """Return failures, sorted: a provider's order is not promised."""
    found = [{"property": f.property, "reason": f.reason} for f in answer.failures]
    return sorted(found, key=lambda f: (f["property"], f["reason"]))


def difference(answer: Any) -> dict[str, Any]:
    """Return the plain form of a diff's answer."""
    kind = proto.PropertyDiff.Kind.Name
    return {
        "changes": proto.DiffResponse.DiffChanges.Name(answer.changes),
        "replaces": sorted(set(answer.replaces)),
        "deleteBeforeReplace": answer.deleteBeforeReplace,
        "diffs": sorted(set(answer.diffs)),
        "detailedDiff": {
            path: kind(change.kind) + (":input" if change.inputDiff else "")
            for path, change in sorted(answer.detailedDiff.items())
        },
    }


def error_of(error: Any) -> dict[str, Any]:
    """Return a failure, with the state that the engine is to keep."""
    out: dict[str, Any] = {"code": error.code().name, "message": error.details()}
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                if detail.type_url.endswith("ErrorResourceInitFailed"):
                    kept = proto.ErrorResourceInitFailed.FromString(detail.value)
                    out["initFailed"] = {
                        "id": kept.id,
                        "reasons": list(kept.reasons),
                        "properties": from_struct(kept.properties),
                    }
    return out
