"""Who may ask: add a client, give it another key with an overlap, take its keys away.

Order: intent journalled, the record changed, every edge told (file, then every worker), a receipt.
Cut anywhere, the same command or any later one, a deployment too, tells the edges again: what they
know is made equal to the record. No key is in the journal, nor in a receipt.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from permafrost.engine.state import Phase
from permafrost.errors import PermafrostError, Problem, Refused
from permafrost.planning.clients import (
    PREFIX,
    ClientKey,
    check_name,
    digest_of,
    edge_map,
    require_known,
)
from permafrost.runbook.by_hand import by_hand
from permafrost.runbook.context import Context
from permafrost.runbook.edges import edges_that_are_off
from permafrost.runbook.operations import Journal
from permafrost.topology import edges


@dataclass(frozen=True, slots=True)
class ClientEvidence:
    """What became of a client. ``key`` is there once, when it was made."""

    client: str
    verb: str
    valid_keys: int
    key: str = ""
    note: str = ""
    operation: str = ""
    receipt: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "schema": 1,
            "client": self.client,
            "verb": self.verb,
            "valid_keys": self.valid_keys,
            "key": self.key or None,
            "note": self.note,
        }

    def __repr__(self) -> str:
        return f"ClientEvidence({self.client}, {self.verb}, {self.valid_keys})"


def add_client(ctx: Context, name: str, *, owner: str) -> ClientEvidence:
    """Make a client's first key; Refused (CLIENT_EXISTS) when it has a valid one."""
    check_name(name)
    if any(k.name == name and k.is_valid(_now(ctx)) for k in ctx.store.clients.all()):
        raise Refused(
            Problem(
                "CLIENT_EXISTS",
                "it has a key already",
                name,
                f"`permafrost client rotate {name}` gives it another one",
            )
        )
    return _new_key(ctx, "add", name, owner, others_end=int(_now(ctx)))


def rotate_client(ctx: Context, name: str, *, overlap_s: int, owner: str) -> ClientEvidence:
    """Make another key; the present ones go on for ``overlap_s`` seconds."""
    require_known(ctx.store.clients.all(), name)
    return _new_key(ctx, "rotate", name, owner, others_end=int(_now(ctx)) + overlap_s)


def revoke_client(ctx: Context, name: str, *, owner: str) -> ClientEvidence:
    """Take all of a client's keys away, now, on every edge."""
    require_known(ctx.store.clients.all(), name)
    ctx.guard()
    with by_hand(ctx, "client revoke", name, owner=owner, before=_before(ctx, name)) as by:
        journal = by.journal
        journal("client-revoke", name, Phase.INTENT, {})
        ctx.store.clients.end(name, max(1, int(_now(ctx))))
        note = _tell(ctx, journal_kind="client-revoke", name=name, journal=journal)
        evidence = ClientEvidence(name, "revoke", 0, note=note)
        journal("client-revoke", name, Phase.DONE, evidence.as_dict())
        by.end(evidence.as_dict())
    return replace(evidence, operation=journal.id, receipt=by.receipt)


def list_clients(ctx: Context) -> list[dict[str, object]]:
    """Return every key by its hash: whose, since when, until when, whether it is taken."""
    now = _now(ctx)
    return [
        {
            "client": k.name,
            "digest": f"sha256:{k.digest.lower()}",
            "added_at": k.added_at,
            "expires": k.expires or None,
            "valid": k.is_valid(now),
        }
        for k in ctx.store.clients.all()
    ]


def tell_edges(ctx: Context, edge: str | None = None) -> tuple[str, ...]:
    """Make the edges, or one of them, know the recorded keys; return the edges that are off."""
    keys = edge_map(ctx.store.clients.all(), _now(ctx))
    if edge:
        others = frozenset(e.name for e in edges(ctx.site)) - {edge}
        ctx.traffic.set_clients(keys, but=others)
        return ()
    off = edges_that_are_off(ctx, ctx.traffic.observe(), "client keys")
    ctx.traffic.set_clients(keys, but=off)
    return tuple(sorted(off))


def _new_key(ctx: Context, verb: str, name: str, owner: str, *, others_end: int) -> ClientEvidence:
    ctx.guard()
    key = PREFIX + secrets.token_urlsafe(32)
    kind = f"client-{verb}"
    with by_hand(ctx, f"client {verb}", name, owner=owner, before=_before(ctx, name)) as by:
        journal = by.journal
        journal(kind, name, Phase.INTENT, {"others_end": others_end})
        ctx.store.clients.replace(name, digest_of(key), others_end=others_end)
        note = _tell(ctx, journal_kind=kind, name=name, journal=journal)
        evidence = ClientEvidence(name, verb, len(_valid(ctx, name)), key, note)
        told = {**evidence.as_dict(), "key": None}
        journal(kind, name, Phase.DONE, told)
        by.end({**told, "others_end": others_end})
    return replace(evidence, operation=journal.id, receipt=by.receipt)


def _tell(ctx: Context, *, journal_kind: str, name: str, journal: Journal) -> str:
    try:
        off = tell_edges(ctx)
    except PermafrostError as error:
        journal(journal_kind, name, Phase.FAILED, {"error": error.code})
        raise
    return "; ".join(f"{edge} is off" for edge in off)


def _before(ctx: Context, name: str) -> dict[str, int]:
    return {"valid_keys": len(_valid(ctx, name))}


def _valid(ctx: Context, name: str) -> list[ClientKey]:
    now = _now(ctx)
    return [k for k in ctx.store.clients.all() if k.name == name and k.is_valid(now)]


def _now(ctx: Context) -> float:
    return ctx.clock.now().timestamp()
