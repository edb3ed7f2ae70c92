"""How the knowledge tier is drawn for people."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from permafrost.planning.knowledge_status import KnowledgeStatus


def show_knowledge(status: KnowledgeStatus, out: Console) -> None:
    """Draw members with their units, quorums, coordinators, and what the proxies answer."""
    ready = "[green]ready[/]" if status.is_ready else "[red]not ready[/]"
    out.print(f"knowledge: Milvus {status.version} at {status.address}, {ready}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("member", "host", "units", ""):
        table.add_column(column)
    for member in status.members:
        units = ", ".join(
            name if word == "active" else f"[red]{name} {word}[/]"
            for name, word in member["units"].items()
        )
        table.add_row(member["name"], member["host"] or "-", units or "-", member["reason"])
    out.print(table)
    etcd, queue = status.quorums["etcd"], status.quorums["queue"]
    kept = status.quorums["object_store"]
    store = "writable" if kept["writable"] else "not writable"
    if kept["place"]:
        store = f"{kept['place']} {'answers' if kept['writable'] else 'does not answer'}"
    out.print(
        f"  etcd {etcd['answering']} of {etcd['members']}, leader {etcd['leader'] or 'none'}; "
        f"queue {queue['answering']} of {queue['members']}, {queue['under_replicated']} "
        f"partitions lack a copy; object store {store}"
    )
    active = (f"{c['role']} on {c['active'] or 'nobody'}" for c in status.coordinators)
    out.print(f"  active: {', '.join(active)}")
    for proxy in status.proxies:
        found = proxy["canaries"]
        text = f"{found['right']} of {found['asked']} known answers right"
        colour = "green" if proxy["ready"] else "red"
        out.print(f"  proxy {proxy['member']}: [{colour}]{text}[/] {escape(proxy['error'])}")
    loaded = (f"{name} {percent} %" for name, percent in status.collections.items())
    out.print(f"  loaded: {', '.join(loaded) or 'nothing'}")
    for replica in status.on_one_member:
        (member,) = replica["members"]
        out.print(
            f"  note: replica {replica['replica']} of collection {replica['collection']} stands "
            f"on {member} alone; before that member stops, it is given a query node of another"
        )
    for found in status.exposed:
        out.print(
            f"  note: every replica of collection {found['collection']} has a leader on "
            f"{found['member']}, whose loss interrupts its searches for seconds; members mend "
            "that by themselves in a minute or two (journal of permafrost-knowledge-spread)"
        )
    for name, message, _ in status.problems:
        out.print(f"  [red]not ready[/] {escape(f'{name}: ' if name else '')}{escape(message)}")
