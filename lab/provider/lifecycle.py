"""What becomes of one request about a resource: plain values in, plain values out.

Between the wire (server.py) and the resource types: error words, previews, state that is kept
of what failed half-way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.provider import paths, planning
from lab.provider.check import Checked
from lab.provider.comparison import Difference
from lab.provider.errors import PartialFailureError, ProviderError, numbered
from lab.provider.registry import RESOURCES
from lab.provider.resources.base import Resource
from lab.provider.session import Operation, fault_text
from lab.provider.values import UNKNOWN, Props
from lab.provider.vsphere import vmodl


@dataclass(frozen=True)
class Urn:
    """The engine's name for a resource."""

    text: str

    @property
    def token(self) -> str:
        """Its type: the last of the types it stands below."""
        return self.text.split("::")[2].rpartition("$")[2]

    @property
    def name(self) -> str:
        """Its name in the program."""
        return self.text.split("::", 3)[3]


def resource_for(urn: Urn, method: str) -> Resource:
    """Return the resource type of a URN; raises ProviderError when there is none."""
    found = RESOURCES.get(urn.token)
    if found is None:
        raise ProviderError(f"unrecognized resource type ({method}): {urn.token}")
    return found


def check(urn: Urn, olds: Props, news: Props, seed: bytes) -> Checked:
    """Return the inputs with defaults, and what is wrong with them."""
    return resource_for(urn, "Check").check(urn.name, olds, news, seed)


def diff(op: Operation, olds: Props, news: Props, ignored: list[str]) -> Difference:
    """Return what would change."""
    urn = Urn(op.urn)
    resource = resource_for(urn, "Diff")
    planned = _plan(resource, op, olds, _unignored(olds, news, ignored))
    found = resource.diff(olds, planned, news).without(ignored)
    if found.changed:
        found.detail |= resource.echoes(olds, planned)
    return found


def create(op: Operation, news: Props, *, preview: bool) -> tuple[str, Props]:
    """Make a resource, or say what it would be."""
    resource = resource_for(Urn(op.urn), "Create")
    planned = _plan(resource, op, None, news)
    if preview:
        return "", {**planned, "id": UNKNOWN}
    try:
        resource_id, state = resource.create(op, planned)
    except PartialFailureError as e:
        raise _kept(e, "creating", op) from e
    except (ProviderError, vmodl.MethodFault) as e:
        raise ProviderError(numbered(words(e))) from e
    return resource_id, planning.settle(resource.schema, planned, state)


def read(
    op: Operation, resource_id: str, state: Props, inputs: Props
) -> tuple[str, Props, Props] | None:
    """Return id, state and inputs as they are now, or None when the resource is gone."""
    resource = resource_for(Urn(op.urn), "Read")
    try:
        found = resource.read(op, resource_id, state)
    except (ProviderError, vmodl.MethodFault) as e:
        raise ProviderError(f"refreshing {op.urn}: {numbered(words(e))}") from e
    if found is None:
        return None
    now_id, now = found
    if inputs:
        return now_id, now, planning.refreshed_inputs(inputs, now)
    return now_id, now, planning.imported_inputs(resource.schema, now)


def update(
    op: Operation, resource_id: str, olds: Props, news: Props, ignored: list[str], *, preview: bool
) -> Props:
    """Change a resource in place, or say what it would become."""
    resource = resource_for(Urn(op.urn), "Update")
    planned = _plan(resource, op, olds, _unignored(olds, news, ignored))
    if preview:
        return planned
    try:
        state = resource.update(op, resource_id, olds, planned)
    except PartialFailureError as e:
        raise _kept(e, "updating", op) from e
    except (ProviderError, vmodl.MethodFault) as e:
        failure = PartialFailureError(words(e), resource_id, _merged(olds, planned))
        raise _kept(failure, "updating", op) from e
    return planning.settle(resource.schema, planned, state)


def delete(op: Operation, resource_id: str, state: Props) -> None:
    """Remove a resource."""
    resource = resource_for(Urn(op.urn), "Delete")
    try:
        resource.delete(op, resource_id, state)
    except (ProviderError, vmodl.MethodFault) as e:
        raise ProviderError(f"deleting {op.urn}: {numbered(words(e))}") from e


def _plan(resource: Resource, op: Operation, olds: Props | None, news: Props) -> Props:
    try:
        return resource.plan(op, olds, news)
    except (ProviderError, vmodl.MethodFault) as e:
        raise ProviderError(f"diffing {op.urn}: {numbered(words(e))}") from e


def _unignored(olds: Props, news: Props, ignored: list[str]) -> Props:
    """Return the inputs with the old state's value in place of what the program ignores."""
    out = news
    for path in ignored:
        out = paths.with_values_of(out, olds, paths.path_keys(path))
    return out


def _merged(olds: Props, planned: Props) -> Props:
    return {k: olds.get(k) if v == UNKNOWN else v for k, v in planned.items()}


def _kept(failure: PartialFailureError, doing: str, op: Operation) -> PartialFailureError:
    message = f"{doing} {op.urn}: {numbered(str(failure))}"
    return PartialFailureError(message, failure.resource_id, planning.known(failure.state))


def words(error: Any) -> str:
    """Return what an error says, in the provider's words for vCenter's faults."""
    if isinstance(error, vmodl.MethodFault):
        return fault_text(error)
    return str(error) or type(error).__name__
