"""Which bytes served at a moment, as receipts tell: each deployment says what it left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Served:
    """What an endpoint served after an operation: ``replicas`` by name, those alone that served.

    ``checkpoint`` is empty where they did not agree.
    """

    endpoint: str
    checkpoint: str
    replicas: Mapping[str, str]
    since: str
    command: str
    receipt: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "endpoint": self.endpoint,
            "checkpoint": self.checkpoint or None,
            "replicas": dict(self.replicas),
            "since": self.since,
            "command": self.command,
            "receipt": self.receipt,
        }


def served_at(receipts: Sequence[Mapping[str, Any]], at: str) -> tuple[Served, ...]:
    """Return what each endpoint served at a moment (RFC 3339), by its name.

    ``since`` is the end of the first operation that left it as it was then: between the beginning
    and the end of an operation both checkpoints may serve, and its receipt names the two.
    """
    moment = datetime.fromisoformat(at)
    found: dict[str, Served] = {}
    for receipt in receipts:
        said = receipt.get("status")
        if (
            not isinstance(said, Mapping)
            or datetime.fromisoformat(receipt["finished_at"]) > moment
        ):
            continue
        now = {e["name"]: _after(e, receipt) for e in said["endpoints"]}
        for name, served in now.items():
            before = found.get(name)
            if before is None or before.replicas != served.replicas:
                found[name] = served
        for gone in found.keys() - now.keys():
            del found[gone]
    return tuple(found[name] for name in sorted(found))


def _after(endpoint: Mapping[str, Any], receipt: Mapping[str, Any]) -> Served:
    replicas = {
        r["name"]: r["checkpoint"] for r in endpoint["replicas"] if r["state"] == "ADMITTED"
    }
    digests = set(replicas.values())
    return Served(
        endpoint["name"],
        digests.pop() if len(digests) == 1 else "",
        replicas,
        receipt["finished_at"],
        str(receipt["command"]),
        int(receipt["number"]),
    )
