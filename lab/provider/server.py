"""The plugin's gRPC service: Pulumi's ResourceProvider, spoken with the engine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2
from google.rpc import status_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from lab.provider import lifecycle
from lab.provider.comparison import Difference
from lab.provider.config import check_config, diff_config, read_config
from lab.provider.errors import PartialFailureError, ProviderError, numbered
from lab.provider.functions.arguments import check_arguments
from lab.provider.functions.registry import FUNCTIONS
from lab.provider.session import Operation, Session
from lab.provider.values import from_struct, to_struct
from lab.provider.vsphere import vmodl

VERSION = "4.18.2"
MAX_MESSAGE = 1 << 28
MAX_METADATA = 1 << 23
WORKERS = 64
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # A failure carries the resource's whole state, which is more than the usual 8 KiB.
    ("grpc.max_metadata_size", MAX_METADATA),
    ("grpc.absolute_max_metadata_size", MAX_METADATA),
]

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One configured provider; its operations run side by side on one session."""

    def __init__(self, watch_engine: Callable[[str], None]) -> None:
        self._session: Session | None = None
        self._cancelled = threading.Event()
        self._watch_engine = watch_engine

    # Configuration

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Say which version this is."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Serve an engine that found this plugin already running."""
        self._watch_engine(request.address)
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Check the provider's own arguments."""
        name = lifecycle.Urn(request.urn).name
        inputs, failures = check_config(name, from_struct(request.news))
        return _checked(inputs, failures)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Say what changed in the provider's own arguments."""
        changed = diff_config(from_struct(request.olds), from_struct(request.news))
        response = provider_pb2.DiffResponse
        if not changed:
            return response(changes=response.DIFF_UNKNOWN)
        detail = {
            key: provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.UPDATE, inputDiff=True)
            for key in changed
        }
        return response(
            changes=response.DIFF_SOME, diffs=changed, detailedDiff=detail, hasDetailedDiff=True
        )

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Log in to vCenter."""
        try:
            args = from_struct(request.args)
            self._session = Session(read_config(dict(request.variables), args))
        except ProviderError as e:
            _fail(context, numbered(str(e)))
        return provider_pb2.ConfigureResponse(
            acceptSecrets=False, supportsPreview=True, acceptResources=False, acceptOutputs=False
        )

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Let every operation stop at its next look."""
        self._cancelled.set()
        return empty_pb2.Empty()

    # Resources

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Fill in defaults and check inputs."""
        checked = self._run(
            context,
            lambda: lifecycle.check(
                lifecycle.Urn(request.urn),
                from_struct(request.olds),
                from_struct(request.news),
                request.randomSeed,
            ),
        )
        return _checked(checked.inputs, checked.failures)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Say what would change."""
        found = self._run(
            context,
            lambda: lifecycle.diff(
                self._operation(request.urn),
                from_struct(request.olds),
                from_struct(request.news),
                list(request.ignoreChanges),
            ),
        )
        return _difference(found)

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Make a resource."""
        resource_id, state = self._run(
            context,
            lambda: lifecycle.create(
                self._operation(request.urn),
                from_struct(request.properties),
                preview=request.preview,
            ),
        )
        return provider_pb2.CreateResponse(id=resource_id, properties=to_struct(state))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refresh or import a resource."""
        found = self._run(
            context,
            lambda: lifecycle.read(
                self._operation(request.urn),
                request.id,
                from_struct(request.properties),
                from_struct(request.inputs),
            ),
        )
        if found is None:
            return provider_pb2.ReadResponse()
        resource_id, state, inputs = found
        return provider_pb2.ReadResponse(
            id=resource_id, properties=to_struct(state), inputs=to_struct(inputs)
        )

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Change a resource in place."""
        state = self._run(
            context,
            lambda: lifecycle.update(
                self._operation(request.urn),
                request.id,
                from_struct(request.olds),
                from_struct(request.news),
                list(request.ignoreChanges),
                preview=request.preview,
            ),
        )
        return provider_pb2.UpdateResponse(properties=to_struct(state))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Remove a resource."""
        self._run(
            context,
            lambda: lifecycle.delete(
                self._operation(request.urn), request.id, from_struct(request.properties)
            ),
        )
        return empty_pb2.Empty()

    # Functions

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Look something up."""
        name = request.tok.rpartition(":")[2]
        if name not in FUNCTIONS:
            _fail(context, f"unrecognized data function (Invoke): {request.tok}")
        args = {k: v for k, v in from_struct(request.args).items() if v is not None}
        failures = check_arguments(name, args)
        if failures:
            return provider_pb2.InvokeResponse(failures=_failures(failures))

        def look_up() -> Any:
            try:
                return FUNCTIONS[name](self._connected(), args)
            except (ProviderError, vmodl.MethodFault) as e:
                words = numbered(lifecycle.words(e))
                raise ProviderError(f"invoking {request.tok}: {words}") from e

        answer = self._run(context, look_up)
        return provider_pb2.InvokeResponse(**{"return": to_struct(answer)})

    # Inside

    def _connected(self) -> Session:
        if self._session is None:
            raise ProviderError("the provider is not configured")
        return self._session

    def _operation(self, urn: str) -> Operation:
        return Operation(self._connected(), urn, self._cancelled)

    def _run(self, context: Any, work: Callable[[], Answer]) -> Answer:
        try:
            return work()
        except PartialFailureError as e:
            _fail_partly(context, e)
        except ProviderError as e:
            _fail(context, str(e))
        except Exception as e:
            log.exception("unexpected failure")
            _fail(context, numbered(lifecycle.words(e)))


def _checked(inputs: dict[str, Any], failures: list[str]) -> Any:
    return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=_failures(failures))


def _failures(reasons: list[str]) -> list[Any]:
    return [provider_pb2.CheckFailure(property="", reason=reason) for reason in reasons]


def _difference(found: Difference) -> Any:
    response = provider_pb2.DiffResponse
    kinds = provider_pb2.PropertyDiff
    detail = {p: kinds(kind=kinds.Kind.Value(c.value)) for p, c in found.detail.items()}
    return response(
        changes=response.DIFF_SOME if found.changed else response.DIFF_NONE,
        diffs=found.properties,
        replaces=found.replaces,
        deleteBeforeReplace=found.delete_first and bool(found.replaces),
        detailedDiff=detail,
        hasDetailedDiff=True,
    )


def _fail(context: Any, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("abort returns never")


def _fail_partly(context: Any, failure: PartialFailureError) -> NoReturn:
    """Fail, with the state of what exists all the same."""
    kept = provider_pb2.ErrorResourceInitFailed(
        id=failure.resource_id, properties=to_struct(failure.state), reasons=[str(failure)]
    )
    detail = any_pb2.Any()
    detail.Pack(kept)
    status = status_pb2.Status(
        code=grpc.StatusCode.UNKNOWN.value[0], message=str(failure), details=[detail]
    )
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    _fail(context, str(failure))
