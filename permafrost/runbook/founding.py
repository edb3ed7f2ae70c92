"""Whether a knowledge cluster has ever answered right, as which version, and whose it is.

Before that its members are configured at the same time: none is whole without a quorum of the
others, and none serves yet. Afterwards each serves, and a member with an empty disk joins what
there is: it never begins a second cluster of the same name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from permafrost.engine.secrets import own_secret
from permafrost.errors import PermafrostError, Problem, Refused
from permafrost.planning.knowledge import members, milvus_of
from permafrost.planning.knowledge_status import KnowledgeStatus
from permafrost.runbook.context import Context
from permafrost.site.knowledge import Milvus
from permafrost.site.object_store import HERE

FOUNDED = "knowledge-founded"
BUNDLED = "the bundled object store"
ENCRYPTED: Mapping[str, tuple[str, str]] = {
    "etcd_tls": ("KNOWLEDGE_ETCD_TLS_CHANGED", "etcd"),
    "queue_tls": ("KNOWLEDGE_QUEUE_TLS_CHANGED", "Kafka"),
    "object_store_tls": ("KNOWLEDGE_OBJECT_STORE_TLS_CHANGED", "bundled object store"),
}
"""What the site file may encrypt between members: its key -> code of a change, what it is."""


def founded_as(ctx: Context) -> dict[str, Any] | None:
    """Return what is noted of the cluster; None where it has never answered right."""
    return ctx.store.recall(FOUNDED) or None


def record_founded(ctx: Context) -> None:
    """Note that the cluster answers right, as the version of the site file."""
    milvus = milvus_of(ctx.site)
    ctx.store.remember(
        FOUNDED,
        {
            "version": milvus.version,
            "object_store": _place(milvus),
            **{key: getattr(milvus, key) for key in ENCRYPTED},
        },
    )


def is_known(ctx: Context) -> bool:
    """Whether every member was configured before: how it was before anything else was noted."""
    return all(ctx.store.converged(n.name) is not None for n in members(ctx.site))


def owner_id(ctx: Context) -> str:
    """Return what this control plane is called in the cluster: as lasting as its secrets are."""
    root = own_secret(ctx.loaded.state_dir, "milvus-root")
    digest = hashlib.sha256(f"owner of {root}".encode()).hexdigest()[:16]
    return f"{ctx.site.site}-{digest}"


def require_ours(ctx: Context, status: KnowledgeStatus) -> None:
    """Raise Refused (KNOWLEDGE_NAME_TAKEN) where members belong to a cluster of somebody else."""
    refuse_strangers(ctx, status.owners - {owner_id(ctx)})


def claim_cluster(ctx: Context, member: str) -> None:
    """Note in the cluster whose it is; Refused (KNOWLEDGE_NAME_TAKEN) where it is another's."""
    if ctx.knowledge is not None:
        mine = owner_id(ctx)
        refuse_strangers(ctx, frozenset({ctx.knowledge.claim(member, mine)}) - {mine})


def refuse_strangers(ctx: Context, strangers: frozenset[str]) -> None:
    """Raise Refused when there are any."""
    if strangers:
        raise Refused(
            Problem(
                "KNOWLEDGE_NAME_TAKEN",
                f"its members belong to the cluster of {', '.join(sorted(strangers))}; "
                f"this control plane is {owner_id(ctx)}",
                "knowledge",
                "two sites must not share members, addresses or a name: give `site:` another "
                "name, or use the state folder that made this cluster",
            )
        )


def require_version(ctx: Context) -> None:
    """Raise Refused (KNOWLEDGE_DOWNGRADE) where the site file names a version before this one.

    A change that was begun and not finished may be taken back: what is noted is what was whole.
    """
    known, wanted = (founded_as(ctx) or {}).get("version"), milvus_of(ctx.site).version
    if known is not None and _parts(str(known)) > _parts(wanted):
        raise Refused(
            Problem(
                "KNOWLEDGE_DOWNGRADE",
                f"the cluster has been whole as Milvus {known}; {wanted} may not read what it "
                "has written since",
                "knowledge.milvus.version",
                f"name {known} or a later one; the way back is a restore from a backup",
            )
        )


def require_place(ctx: Context) -> None:
    """Raise Refused (KNOWLEDGE_STORE_MOVED) where what is known lies in another object store."""
    known = founded_as(ctx)
    was, wanted = str((known or {}).get("object_store", BUNDLED)), _place(milvus_of(ctx.site))
    if known is not None and was != wanted:
        raise Refused(
            Problem(
                "KNOWLEDGE_STORE_MOVED",
                f"what the cluster knows is in {was}; nothing copies it to {wanted}",
                HERE,
                "leave it where it is, or make the tier anew (`permafrost destroy`, `permafrost "
                "deploy`) and fill it from a backup",
            )
        )


def require_same_tls(ctx: Context) -> None:
    """Raise Refused (KNOWLEDGE_..._TLS_CHANGED) where a store runs otherwise than the file says.

    Members that speak TLS and members that do not would be two halves without a quorum.
    """
    known, milvus = founded_as(ctx), milvus_of(ctx.site)
    if known is None:
        return
    problems = [
        Problem(
            code,
            f"its {what} was made {'with' if was else 'without'} TLS, and its members cannot "
            "change that one by one",
            f"knowledge.milvus.{key}",
            f"set it to {str(was).lower()}; or make the tier anew (`permafrost destroy`, "
            "`permafrost deploy`) and fill it from a backup",
        )
        for key, (code, what) in ENCRYPTED.items()
        if (was := bool(known.get(key, False))) != getattr(milvus, key)
    ]
    if problems:
        raise Refused(*problems)


def _place(milvus: Milvus) -> str:
    return milvus.object_store.place if milvus.object_store else BUNDLED


def is_founded(ctx: Context, is_ready: Any) -> bool:
    """Whether the cluster serves; ``is_ready`` is asked where nothing is noted yet."""
    if founded_as(ctx) is not None:
        return True
    if not is_known(ctx):
        return False
    try:
        if not is_ready():
            return False
    except PermafrostError:
        return False
    record_founded(ctx)
    return True


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
